package disks

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// Places.
const (
	Root     = "/srv"                    // disks are mounted at Root/NAME
	KnownDir = "/var/lib/shelf/storage"  // NAME.json: the Known of the disk in use
	lookDir  = "/run/shelf/storage/look" // where a strange disk is mounted for a look
	Own      = ".shelfos"                // in a disk's root: what belongs to the data and not to the node
	marker   = Own + "/disk.json"
	Backups  = "shelf-backup" // in the root of a disk for backups
	k3sData  = ".shelf-data"  // in the root of k3s' data disk, see init/k3s/datadisk
)

// MountPoint is where a disk is mounted.
func MountPoint(name string) string { return filepath.Join(Root, name) }

// State is where a disk is.
type State string

// The states.
const (
	Busy    State = "busy"    // it is checked or formatted
	Mounted State = "mounted" // in use
	Missing State = "absent"
	Refused State = "refused"
)

// Status is what there is to know of one entry of storage.disks.
type Status struct {
	Name     string `json:"name"`
	Device   string `json:"device"`         // as it is configured
	Path     string `json:"path,omitempty"` // of the block device
	State    State  `json:"state"`
	Detail   string `json:"detail,omitempty"` // why not, or what is going on
	Type     string `json:"type,omitempty"`
	UUID     string `json:"uuid,omitempty"`
	Serial   string `json:"serial,omitempty"`
	ReadOnly bool   `json:"read_only,omitempty"`
	Degraded bool   `json:"degraded,omitempty"` // of a file system on several disks: it is not redundant now

	parts  []Device // its members
	repair bool     // scrub and convert are due
	locked bool     // write-protected
}

// Repairs reports whether the disk was mounted with a member that has missed writes.
func (s Status) Repairs() bool { return s.repair }

// Paths are the disks that it is on, whole ones.
func (s Status) Paths() []string {
	var list []string
	for _, p := range s.parts {
		list = append(list, "/dev/"+p.Disk)
	}
	return list
}

// Disks are the storage disks of a node. All methods may be called from any goroutine.
type Disks struct {
	Boot  string                        // name of the disk that the node runs from
	Host  string                        // the node's name, for the marker
	Load  func(module string) error     // loads a kernel module
	Print func(format string, a ...any) // lines for people

	work   sync.Mutex // held while disks are made ready
	mu     sync.Mutex // of status
	status []Status
}

// Status reports how they are, in the order of the configuration.
func (d *Disks) Status() []Status {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.status)
}

func (d *Disks) set(s Status) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if i := slices.IndexFunc(d.status, func(o Status) bool { return o.Name == s.Name }); i >= 0 {
		d.status[i] = s
	} else {
		d.status = append(d.status, s)
	}
}

func (d *Disks) get(name string) Status {
	for _, s := range d.Status() {
		if s.Name == name {
			return s
		}
	}
	return Status{}
}

// Update brings every disk of the configuration into use that can be, and returns how they are. It
// may be called again at any time; a disk that is in use stays so.
func (d *Disks) Update(ctx context.Context, cfg *config.Config) []Status {
	d.work.Lock()
	defer d.work.Unlock()
	bad := map[string]config.StorageFault{}
	for _, f := range cfg.Storage.Faults() {
		if f.Kind == "disk" {
			bad[f.Name] = f
		}
	}
	var order []string
	for _, spec := range cfg.Storage.Disks {
		if f, ok := bad[spec.Name]; ok {
			if !slices.Contains(order, spec.Name) {
				d.set(Status{Name: spec.Name, Device: spec.Device, State: Refused, Detail: f.Text + "; " + f.Fix})
			}
		} else {
			d.update(ctx, cfg, spec)
		}
		order = append(order, spec.Name)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.status = slices.DeleteFunc(d.status, func(s Status) bool { return !slices.Contains(order, s.Name) })
	slices.SortStableFunc(d.status, func(a, b Status) int { return slices.Index(order, a.Name) - slices.Index(order, b.Name) })
	return slices.Clone(d.status)
}

func (d *Disks) update(ctx context.Context, cfg *config.Config, spec config.StorageDisk) {
	at := MountPoint(spec.Name)
	if s := d.get(spec.Name); s.State == Mounted {
		if alive(s) {
			d.set(d.look(spec, s))
			return
		}
		// Pulled out. What holds it open gets errors.
		_ = unix.Unmount(at, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		d.Print("disk %s: it was pulled out while it was in use", spec.Name)
	}
	use, err := d.ready(ctx, cfg, spec)
	dev := use.Device
	s := Status{Name: spec.Name, Device: spec.Device, Path: dev.Path, State: Mounted, Type: dev.FS.Type, UUID: dev.FS.UUID, Serial: dev.Serial(),
		Detail: use.why, ReadOnly: use.mode == Look, Degraded: use.mode != Whole, parts: use.parts, repair: use.mode == Repair && !use.locked()}
	if s.locked = use.locked(); s.locked && err == nil {
		s.ReadOnly, s.Detail = true, use.lockedWhy()
	}
	var absent Absent
	switch {
	case errors.As(err, &absent):
		s.State, s.Detail = Missing, err.Error()
	case err != nil:
		s.State, s.Detail = Refused, err.Error()
	default:
		d.Print("disk %s: %s is in use (%s, serial number %s)", spec.Name, dev.Path, dev.FS.Type, or(s.Serial != "", s.Serial, "unknown"))
	}
	d.set(s)
}

// List returns every block device, those that the configuration keeps from being used marked so.
func (d *Disks) List(cfg *config.Config, name string) ([]Device, error) {
	list, err := where{"/sys", "/dev"}.scan(d.Boot)
	if err != nil {
		return nil, err
	}
	mounted := map[string]string{}
	if all, err := mountinfo.GetMounts(nil); err == nil {
		for _, m := range all {
			mounted[m.Source] = m.Mountpoint
		}
	}
	for i, dev := range list {
		if dev.Kept == "" {
			list[i].Kept = kept(cfg, dev, mounted[dev.Path], MountPoint(name))
		}
	}
	return list, nil
}

// alive reports whether the block device of a mount is still there; of a btrfs on several disks,
// one of them.
func alive(s Status) bool {
	here, err := mountinfo.GetMounts(mountinfo.SingleEntryFilter(MountPoint(s.Name)))
	if err != nil || len(here) == 0 {
		return false
	}
	if len(s.parts) > 1 {
		return len(s.attached()) > 0
	}
	_, err = os.Stat("/sys/class/block/" + filepath.Base(here[len(here)-1].Source))
	return err == nil
}

// attached are the members whose block devices are still there.
func (s Status) attached() []Device {
	return slices.DeleteFunc(slices.Clone(s.parts), func(d Device) bool { _, err := os.Stat("/sys/class/block/" + d.Name); return err != nil })
}

// Line is a disk as one line for people.
func (s Status) Line() string {
	text := fmt.Sprintf("%s: %s", s.Name, s.State)
	if s.State == Mounted {
		text += fmt.Sprintf(" at %s, %s on %s", MountPoint(s.Name), s.Type, s.Path)
	}
	if s.Detail != "" {
		text += ": " + s.Detail
	}
	return text
}

// Err is the status of a disk that is not in use as an error for the report.
func (s Status) Err() error {
	return fault.New(fault.Device, "see `shelf storage`", "disk %s: %s", s.Name, s.Detail)
}
