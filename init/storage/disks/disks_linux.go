package disks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"imgbuild/init/base/fsck"
	"imgbuild/init/base/mount"
	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/disk"
	"imgbuild/init/supervise"

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
	k3sData  = ".shelf-data" // in the root of k3s' data disk, see init/k3s/datadisk
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
}

// Repairs reports whether the disk was mounted with a member that has missed writes.
func (s Status) Repairs() bool { return s.repair }

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
		Detail: use.why, ReadOnly: use.mode == Look, Degraded: use.mode != Whole, parts: use.parts, repair: use.mode == Repair}
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

// use is a disk that was chosen, and how it is mounted.
type use struct {
	Device
	parts []Device // of a btrfs on several disks those that are there; else the device alone
	mode  Mode
	why   string
}

// options are btrfs' for it. Without udev nobody else names the members to the kernel, and naming
// them keeps copies out.
func (u use) options() []string {
	var list []string
	if len(u.parts) > 1 {
		for _, p := range u.parts {
			list = append(list, "device="+p.Path)
		}
	}
	if u.mode.Degraded() {
		list = append(list, "degraded")
	}
	return list
}

// ready decides, and does it.
func (d *Disks) ready(ctx context.Context, cfg *config.Config, spec config.StorageDisk) (use, error) {
	known, err := readKnown(knownFile(spec.Name))
	if err != nil {
		return use{}, err
	}
	list, err := d.List(cfg, spec.Name)
	if err != nil {
		return use{}, err
	}
	for i, dev := range list { // reads the disk: only where the answer could be to format it
		if spec.Format && known == nil && dev.Kept == "" && dev.Name == dev.Disk && dev.Parts == 0 && dev.FS.Type == "" && matches(spec.Device, dev) {
			if list[i].Blank, err = blank(dev); err != nil {
				return use{Device: dev}, fault.Wrap(err, fault.Device, "look at its cable and power, or replace it", "the disk %s cannot be read", dev.Path)
			}
		}
	}
	what, dev, err := Decide(spec, known, list)
	u := use{Device: dev, parts: []Device{dev}}
	if err != nil {
		return u, err
	}
	if what == Format {
		if u.Device, err = d.format(ctx, spec, dev); err != nil {
			return u, err
		}
		u.parts = []Device{u.Device}
	}
	if u.FS.Type == "btrfs" && what != Format {
		if u.parts, err = partsOf(known, u.FS.UUID, list); err != nil {
			return u, err
		}
		k := Known{}
		if known != nil {
			k = *known
		}
		if u.mode, u.why, err = pair(k, spec.Name, u.parts); err != nil {
			return u, err
		}
	}
	if what == Adopt {
		if err := d.inspect(u); err != nil {
			return u, err
		}
	}
	if err := d.mount(ctx, spec, u); err != nil {
		return u, err
	}
	if u.mode == Look {
		return u, nil // nothing may be written to it
	}
	if err := d.note(spec, u); err != nil {
		_ = unix.Unmount(MountPoint(spec.Name), unix.UMOUNT_NOFOLLOW)
		return u, fault.Wrap(err, fault.Device, "", "taking the disk %s into use", u.Path)
	}
	return u, nil
}

func blank(dev Device) (bool, error) {
	f, err := os.Open(dev.Path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	return Blank(f, dev.Bytes)
}

// formatLimit ends mkfs on a disk that does not answer.
const formatLimit = 10 * time.Minute

// format makes a btrfs file system on a blank disk. mkfs.btrfs refuses one that holds anything.
func (d *Disks) format(ctx context.Context, spec config.StorageDisk, dev Device) (Device, error) {
	d.set(Status{Name: spec.Name, Device: spec.Device, Path: dev.Path, State: Busy, Detail: "a file system is made on " + dev.Path})
	d.Print("disk %s: %s (%s) is blank; a btrfs file system is made on it", spec.Name, dev.Path, dev.Serial())
	_ = d.Load("btrfs")
	ctx, cancel := context.WithTimeout(ctx, formatLimit)
	defer cancel()
	if _, err := supervise.Run(ctx, supervise.Cmd("mkfs.btrfs", "-q", "-L", spec.Name, dev.Path)); err != nil {
		return dev, fault.Wrap(err, fault.Device, "look at its cable and power, or replace it", "making a file system on %s", dev.Path)
	}
	f, err := os.Open(dev.Path)
	if err != nil {
		return dev, err
	}
	defer f.Close()
	dev.FS, err = disk.Probe(f)
	return dev, err
}

// inspect mounts a file system that the node does not know yet read-only, without a write to it,
// and refuses one that is k3s'.
func (d *Disks) inspect(u use) error {
	if err := d.before(u.Device); err != nil {
		return err
	}
	data := []string{"noload"}
	if u.FS.Type == "btrfs" {
		data = append(u.options(), "norecovery")
	}
	err := mount.Do(mount.Mount{Source: u.Path, Path: lookDir, Type: u.FS.Type, Flags: unix.MS_RDONLY | unix.MS_NOATIME, Data: strings.Join(data, ",")})
	if err != nil {
		return fault.Wrap(err, fault.Device, "check it on another computer", "the disk %s cannot be mounted", u.Path)
	}
	defer unix.Unmount(lookDir, unix.UMOUNT_NOFOLLOW)
	if _, err := os.Stat(filepath.Join(lookDir, k3sData)); err == nil {
		return fault.New(fault.Input, "name another disk in storage.disks", "%s holds k3s' data; it is not used for shares", u.Path)
	}
	return nil
}

// before is what a file system needs before it can be mounted.
func (d *Disks) before(dev Device) error {
	if dev.FS.Type == "ext4" {
		return nil
	}
	return fault.Wrap(d.Load(dev.FS.Type), fault.Device, "use ext4", "the file system %s of the disk %s", dev.FS.Type, dev.Path)
}

// mount checks the disk if it has to be, and mounts it for use.
func (d *Disks) mount(ctx context.Context, spec config.StorageDisk, u use) error {
	if err := d.before(u.Device); err != nil {
		return err
	}
	if !u.FS.Clean {
		d.set(Status{Name: spec.Name, Device: spec.Device, Path: u.Path, State: Busy, Detail: "the disk " + u.Path + " was not unmounted and is checked"})
		if err := d.check(ctx, u.Path); err != nil {
			return err
		}
	}
	data, flags := []string{"errors=remount-ro"}, uintptr(unix.MS_NOATIME|unix.MS_NOSUID|unix.MS_NODEV)
	if u.FS.Type == "btrfs" {
		data = u.options()
		if spec.Compress != "" && spec.Compress != "none" {
			data = append(data, "compress="+spec.Compress)
		}
	}
	if u.mode == Look {
		flags |= unix.MS_RDONLY
	}
	err := mount.Do(mount.Mount{Source: u.Path, Path: MountPoint(spec.Name), Type: u.FS.Type, Flags: flags, Data: strings.Join(data, ",")})
	return fault.Wrap(err, fault.Device, "see `shelf dmesg`, and check it on another computer", "the disk %s cannot be mounted", u.Path)
}

// checkLimit ends a check that does not come to an end.
const checkLimit = 2 * time.Hour

// check has e2fsck repair what is safe without a person. What is not is left to one: these are the
// only copies of somebody's files.
func (d *Disks) check(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	res, err := fsck.Run(ctx, fsck.Safe, path, nil)
	if err != nil {
		return fault.Wrap(err, fault.Device, "", "checking the disk %s", path)
	}
	if !res.Sound() {
		return fault.New(fault.Device, "save what is on it if you can, then run `sudo e2fsck -f "+path+"` on the node and reboot",
			"the disk %s is damaged, and a repair may lose files: %s", path, res.Last)
	}
	if res.Repaired() {
		d.Print("e2fsck repaired the disk %s: %s", path, res.Last)
	}
	return nil
}

// note records the disk as the one that this entry uses from now on, on the disk first. What a
// record has of halves that were written apart is kept, on a node that is new to the disk too.
func (d *Disks) note(spec config.StorageDisk, u use) error {
	here, err := readKnown(knownFile(spec.Name))
	if err != nil {
		return err
	}
	there, _ := readKnown(filepath.Join(MountPoint(spec.Name), marker))
	k := Known{UUID: strings.ToLower(u.FS.UUID), Serial: u.Serial(), Node: d.Host}
	for _, old := range []*Known{there, here} {
		if old != nil && old.UUID == k.UUID {
			k.Alone, k.Consent, k.Repairing = old.Alone, old.Consent, old.Repairing
			for m, serial := range old.Members {
				k.member(m, serial)
			}
			if u.FS.Devices > 1 && old.Serial != "" {
				k.Serial = old.Serial // whichever of them is first today
			}
		}
	}
	if u.FS.Devices > 1 {
		for _, p := range u.parts {
			k.member(p.FS.Member, p.Serial())
		}
	}
	if u.mode == Repair {
		if k.Repairing = true; len(k.Alone) == 0 {
			k.Alone = newest(u.parts)
		}
	}
	return d.record(spec.Name, k)
}

func (k *Known) member(uuid, serial string) {
	if k.Members == nil {
		k.Members = map[string]string{}
	}
	k.Members[uuid] = serial
}

// record writes what is known of a disk in use: on the disk, then on the node. What is there
// already is not written again.
func (d *Disks) record(name string, k Known) error {
	at := MountPoint(name)
	if have, _ := readKnown(filepath.Join(at, marker)); have == nil || !have.same(k) {
		if err := mount.Do(mount.Dir{Path: filepath.Join(at, Own), Mode: 0o700}); err != nil {
			return err
		}
		if err := writeKnown(filepath.Join(at, marker), k); err != nil {
			return err
		}
	}
	if have, _ := readKnown(knownFile(name)); have != nil && have.same(k) {
		return nil
	}
	if err := os.MkdirAll(KnownDir, 0o700); err != nil {
		return err
	}
	return writeKnown(knownFile(name), k)
}

func knownFile(name string) string { return filepath.Join(KnownDir, name+".json") }

// Forget returns up the disk that an entry used: the next one that fits is taken.
func Forget(name string) error {
	if err := os.Remove(knownFile(name)); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return fault.New(fault.Usage, "run `shelf storage`", "no disk is known by the name %q", name)
		}
		return err
	}
	return atomicfile.SyncDir(KnownDir)
}

// readKnown returns nil for a file that is not there. One that cannot be read is no reason to take
// another disk.
func readKnown(path string) (*Known, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var k Known
	if err == nil {
		err = json.Unmarshal(data, &k)
	}
	if err == nil && k.UUID == "" {
		err = errors.New("it has no UUID")
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.Device, "if you know that the disk is the right one, remove that file", "%s cannot be read", path)
	}
	return &k, nil
}

func writeKnown(path string, k Known) error {
	data, err := json.Marshal(k)
	if err != nil {
		return err
	}
	return atomicfile.Write(path, append(data, '\n'), 0o600)
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
