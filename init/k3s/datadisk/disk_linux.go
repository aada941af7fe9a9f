package datadisk

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"imgbuild/init/base/mount"
	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/fault"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// Places.
const (
	MountPoint   = "/run/shelf/data"                   // the whole disk
	Kubelet      = "/var/lib/kubelet"                  // pods' volumes
	KnownPath    = "/var/lib/shelf/data-disk"          // the Marker of the disk in use
	RestoredPath = "/var/lib/shelf/data-disk.restored" // that of the backup from which the node was made, until a disk is in use
	MovePath     = "/var/lib/shelf/data-move"          // there: move the data
	markerName   = ".shelf-data"                       // in the disk's root
)

// State is where the disk is.
type State string

// The states.
const (
	None    State = "none"    // no data disk
	Busy    State = "busy"    // being checked, or data are moved there
	Mounted State = "mounted" // in use
	Absent  State = "absent"
	Refused State = "refused"
)

// Status is what there is to know.
type Status struct {
	Device string `json:"device,omitempty"` // data.device
	Path   string `json:"path,omitempty"`   // of the block device
	State  State  `json:"state"`
	Detail string `json:"detail,omitempty"` // why not, or what is going on
}

// Disk is the node's data disk. All methods may be called from any goroutine.
type Disk struct {
	Boot  string                        // name of the disk that the node runs from
	Host  string                        // the node's name, for the marker
	Load  func(module string) error     // loads a kernel module
	Print func(format string, a ...any) // lines for people; nil: nowhere

	work   sync.Mutex // held while a disk is made ready, which takes as long as a check of it or a move of data does
	mu     sync.Mutex // of status; held for a moment only: everybody asks
	status Status
}

// Status reports how it is.
func (d *Disk) Status() Status {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.status.State == "" {
		return Status{State: None}
	}
	return d.status
}

// IsAbsent reports whether an error of Ready means that the disk is not there, now.
func IsAbsent(err error) bool { return errors.As(err, new(absent)) }

// Ready sees to it that k3s finds its data at dataDir: on the disk that spec names, on the node's
// own if spec is empty. Any error means that k3s must not start. It may be asked again at any time;
// a disk that is in use stays so until the next boot.
func (d *Disk) Ready(ctx context.Context, spec, dataDir string) error {
	d.work.Lock()
	defer d.work.Unlock()
	if d.Status().State == Mounted {
		if alive(MountPoint) {
			if err := writable(MountPoint); err != nil {
				st := d.Status()
				st.State, st.Detail = Refused, err.Error()
				d.set(st)
				return err
			}
			return nil
		}
		// Pulled out while it was in use. Whatever still holds it open gets errors; k3s starts on
		// it when it is back.
		d.detach(dataDir)
	}
	path, err := d.ready(ctx, spec, dataDir)
	st := Status{Device: spec, Path: path, State: Mounted}
	switch {
	case IsAbsent(err):
		st.State, st.Detail = Absent, err.Error()
	case err != nil:
		st.State, st.Detail = Refused, err.Error()
	case path == "":
		st.State = None
	}
	d.set(st)
	return err
}

func (d *Disk) set(s Status) {
	d.mu.Lock()
	d.status = s
	d.mu.Unlock()
}

// busy reports what takes its time.
func (d *Disk) busy(spec, path, what string) { d.set(Status{spec, path, Busy, what}) }

func (d *Disk) ready(ctx context.Context, spec, dataDir string) (path string, err error) {
	s := situation{spec: spec, local: hasData(dataDir)}
	if s.known, err = readMarker(KnownPath); err != nil {
		return "", err
	}
	if s.restored, err = readMarker(RestoredPath); err != nil {
		return "", err
	}
	if _, err := os.Stat(MovePath); err == nil {
		s.move = true
	}
	if spec == "" {
		if _, err := s.absence(); err != nil || s.restored == nil {
			return "", err
		}
		d.say("k3s' data of the backup are on the node's own disk, and stay there: no data.device is given")
		return "", forget(RestoredPath)
	}
	dev, err := find("/sys", "/dev", d.Boot, spec)
	if IsAbsent(err) {
		_, err = s.absence()
	}
	if err != nil {
		return dev.path, err
	}
	// First a look that changes nothing, for it may be somebody else's disk.
	if err := d.mount(ctx, dev, true); err != nil {
		return dev.path, err
	}
	if _, err = s.look(); err != nil {
		release()
		return dev.path, err
	}
	release()
	if err := d.mount(ctx, dev, false); err != nil {
		return dev.path, err
	}
	what, err := s.look() // again: the journal may have brought what could not be seen before
	if err == nil {
		err = fault.Wrap(d.take(ctx, what, s, dataDir), fault.Device, "", "taking the data disk %s into use", spec)
	}
	if err == nil {
		err = d.bind(dataDir)
	}
	if err != nil {
		release()
	}
	return dev.path, err
}

func release() { _ = unix.Unmount(MountPoint, unix.UMOUNT_NOFOLLOW) }

// look decides by what is on the disk that is mounted.
func (s *situation) look() (what action, err error) {
	if s.marker, err = readMarker(filepath.Join(MountPoint, markerName)); err != nil {
		return refuse, err
	}
	if s.empty, err = empty(MountPoint); err != nil {
		return refuse, fault.Wrap(err, fault.Device, "look at its cable and power, or replace it", "the data disk %s cannot be read", s.spec)
	}
	return s.decide()
}

// take makes the disk the node's, if it is not already. The order of the writes makes a power cut
// harmless: an empty disk gets its directories and its marker before the node notes it, and a
// marked disk that the node does not know is adopted; data that are moved are noted before the disk
// is marked, and a disk without a marker is filled again.
func (d *Disk) take(ctx context.Context, what action, s situation, dataDir string) error {
	m := s.marker
	if m == nil {
		id := make([]byte, 16)
		if _, err := rand.Read(id); err != nil {
			return err
		}
		m = &Marker{hex.EncodeToString(id), d.Host}
	}
	mark := func() error { return writeMarker(filepath.Join(MountPoint, markerName), *m) }
	note := func() error { return writeMarker(KnownPath, *m) }
	switch what {
	case use, adopt:
		if _, err := os.Stat(MountPoint + "/k3s"); err != nil {
			return fault.Wrap(err, fault.Input, "look at it on another computer, or empty it and run `"+forgetCommand+"`", "the disk is marked as a data disk, but has no k3s' data")
		}
		if what == use {
			if s.known == nil {
				if err := note(); err != nil {
					return err
				}
			}
			if s.restored != nil && s.local {
				d.say("%s has k3s' data, which are used; those of the backup are put aside", s.spec)
			}
			if s.restored != nil || s.move { // of a move whose last step a power cut took
				return d.leave(dataDir)
			}
			return nil
		}
		d.say("%s has k3s' data of %s; this node goes on with them", s.spec, or(m.Node, "a node"))
		return note()
	case begin:
		d.say("%s is empty and becomes the place of k3s' data", s.spec)
		if err := mount.Do(directories...); err != nil {
			return err
		}
		if err := mark(); err != nil {
			return err
		}
		return note()
	case carry:
		d.busy(s.spec, d.Status().Path, "k3s' data are moved to the data disk "+s.spec)
		if err := d.carry(ctx, dataDir); err != nil {
			return err
		}
		if err := note(); err != nil {
			return err
		}
		if err := mark(); err != nil {
			return err
		}
		return d.leave(dataDir)
	}
	return fault.New(fault.Internal, "", "a data disk with nothing to do")
}

// directories are what a data disk has.
var directories = []mount.Op{
	mount.Dir{Path: MountPoint + "/k3s", Mode: 0o755},
	mount.Dir{Path: MountPoint + "/kubelet", Mode: 0o750},
}

// mount mounts the disk on MountPoint: for a look without writing a byte to it, or, checked, for
// use.
func (d *Disk) mount(ctx context.Context, dev device, look bool) error {
	if dev.fs.Type == "" && len(dev.parts) > 0 {
		return fault.New(fault.Input, "name a partition in data.device: "+strings.Join(dev.parts, ", "), "the data disk %s is divided into partitions", dev.path)
	}
	if dev.fs.Type == "" {
		return fault.New(fault.Input, fmt.Sprintf("if it is the right one and holds nothing of worth, run `sudo mkfs.ext4 -L k3sdata %s`", dev.path),
			"the data disk %s has no file system of ext4, xfs or btrfs; it is not formatted by itself", dev.path)
	}
	if dev.fs.Type != "ext4" && d.Load != nil {
		if err := d.Load(dev.fs.Type); err != nil {
			return fault.Wrap(err, fault.Device, "use ext4", "the file system %s of the data disk", dev.fs.Type)
		}
	}
	flags, data := uintptr(unix.MS_NOATIME), map[string]string{"ext4": "errors=remount-ro"}[dev.fs.Type]
	if look {
		flags, data = unix.MS_RDONLY|unix.MS_NOATIME, map[string]string{"ext4": "noload", "xfs": "norecovery", "btrfs": "norecovery"}[dev.fs.Type]
	} else if !dev.fs.Clean {
		d.busy(dev.path, dev.path, "the data disk "+dev.path+" was not unmounted and is checked")
		if err := d.fsck(ctx, dev.path); err != nil {
			return err
		}
	}
	err := mount.Do(mount.Mount{Source: dev.path, Path: MountPoint, Type: dev.fs.Type, Flags: flags, Data: data})
	return fault.Wrap(err, fault.Device, "check it on another computer", "the data disk %s cannot be mounted", dev.path)
}

// bind shows the disk's directories where k3s and the kubelet look.
func (d *Disk) bind(dataDir string) error {
	err := mount.Do(append(directories[:len(directories):len(directories)],
		mount.Mount{Source: MountPoint + "/k3s", Path: dataDir, Flags: unix.MS_BIND},
		mount.Mount{Source: MountPoint + "/kubelet", Path: Kubelet, Flags: unix.MS_BIND})...)
	if err != nil {
		d.detach(dataDir)
		return fault.Wrap(err, fault.Device, "", "showing the data disk")
	}
	return nil
}

// detach takes the disk away, even if it is in use.
func (d *Disk) detach(dataDir string) {
	for _, path := range []string{Kubelet, dataDir, MountPoint} {
		if mountedOn(path) {
			_ = unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		}
	}
}

func (d *Disk) say(format string, a ...any) {
	if d.Print != nil {
		d.Print(format, a...)
	}
}

// mountedOn reports whether something is mounted on path.
func mountedOn(path string) bool {
	var here, above unix.Stat_t
	return unix.Stat(path, &here) == nil && unix.Stat(filepath.Dir(path), &above) == nil && here.Dev != above.Dev
}

// alive reports whether the block device of a mount is still there.
func alive(path string) bool {
	here, err := mountinfo.GetMounts(mountinfo.SingleEntryFilter(path))
	if err != nil || len(here) == 0 {
		return false
	}
	_, err = os.Stat("/sys/class/block/" + filepath.Base(here[0].Source))
	return err == nil
}

// writable reports whether the file system that is mounted on path still takes what is written:
// ext4 becomes read-only when it meets an error.
func writable(path string) error {
	if mount.Frozen(path) {
		return fault.New(fault.Device, "reboot, which checks it; if that comes again save what is on it and replace it", "the data disk failed and can only be read")
	}
	return nil
}

// hasData reports whether k3s has anything at dir that must not be lost or forked. Manifests and
// images that people put there before its first start do not count.
func hasData(dir string) bool {
	for _, name := range []string{"server/db", "server/tls", "server/token", "agent/client-kubelet.crt", "agent/client-ca.crt", "agent/containerd", "storage"} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			return true
		}
	}
	return false
}

// empty reports whether a file system holds nothing but what mkfs, a desktop or a move that was cut
// short leave there.
func empty(root string) (bool, error) {
	entries, err := os.ReadDir(root)
	if err != nil {
		return false, err
	}
	cut := false
	for _, e := range entries {
		cut = cut || e.Name() == moving
	}
	for _, e := range entries {
		switch e.Name() {
		case "lost+found", ".Trash-1000", moving:
		case "k3s", "kubelet":
			if !cut {
				return false, nil
			}
		default:
			return false, nil
		}
	}
	return true, nil
}

// readMarker returns nil for a file that is not there. A marker that cannot be read is no reason to
// take a disk for empty.
func readMarker(path string) (*Marker, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var m Marker
	if err == nil {
		err = json.Unmarshal(data, &m)
	}
	if err == nil && m.ID == "" {
		err = errors.New("it has no number")
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.Device, "if you know that this is the right disk, remove that file", "the marker %s cannot be read", path)
	}
	return &m, nil
}

func writeMarker(path string, m Marker) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return atomicfile.Write(path, append(data, '\n'), 0o600)
}

// Alive: the disk is not in use, or is still attached.
func (d *Disk) Alive() bool {
	return d.Status().State != Mounted || alive(MountPoint)
}
