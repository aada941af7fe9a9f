package serve

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"

	"imgbuild/init/base/mount"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/storage/care"
	"imgbuild/init/storage/disks"
	"imgbuild/init/storage/shares"
	"imgbuild/init/storage/snapshots"
)

// inUse returns what is mounted, the directory on it for what belongs to the data, and the reason
// where there is none.
func inUse(list []disks.Status) (m shares.Mounts, state, why string) {
	m, why = shares.Mounts{}, "storage.disks names no disk"
	for i, d := range list {
		if d.State != disks.Mounted {
			if i == 0 || why == "" {
				why = d.Detail
			}
			continue
		}
		m[d.Name] = shares.Mount{At: disks.MountPoint(d.Name), UUID: d.UUID, ReadOnly: d.ReadOnly}
		if state == "" && !d.ReadOnly {
			state = filepath.Join(disks.MountPoint(d.Name), disks.Own)
		}
	}
	return m, state, why
}

// Own is the directory on the first disk in use for what belongs to the data; empty while there is
// none, or it can only be read.
func Own() string {
	to, err := os.Readlink(stateLink)
	if err != nil || to == stateCopy {
		return ""
	}
	return to
}

// firstDisk is the first that is in use, empty for none.
func firstDisk(list []disks.Status) string {
	for _, d := range list {
		if d.State == disks.Mounted {
			return d.Name
		}
	}
	return ""
}

// copyState copies what belongs to the data from a disk that can only be read: accounts,
// certificate and the locks of NFS clients stay known, and what changes is lost with the next boot.
func copyState(from, to string) error {
	ops := []mount.Op{mount.Dir{Path: to, Mode: 0o700}}
	for _, name := range []string{"samba", "nfsdcld", "ftp.pem"} {
		ops = append(ops, mount.Copy{From: filepath.Join(from, name), Path: filepath.Join(to, name), Missing: true})
	}
	return fault.Wrap(mount.Do(ops...), fault.Device, "", "reading what belongs to the data")
}

func careOf(c config.Storage, list []disks.Status) []care.Disk {
	var out []care.Disk
	for _, d := range list {
		if d.State == disks.Mounted {
			out = append(out, care.Disk{
				Name: d.Name, At: disks.MountPoint(d.Name), UUID: d.UUID, Paths: d.Paths(), Btrfs: d.Type == "btrfs", ReadOnly: d.ReadOnly, Repair: d.Repairs(),
				Spindown: spindown(c, d.Name),
			})
		}
	}
	return out
}

// spindown is after how long without a request a disk is stopped; 0 for never.
func spindown(c config.Storage, disk string) time.Duration {
	for _, d := range c.Disks {
		if d.Name == disk && d.Spindown >= config.SpindownLeast {
			return d.Spindown
		}
	}
	return 0
}

// limits sets the quotas of the shares.
func (s *Server) limits(ctx context.Context, p shares.Plan, list []care.Disk, m shares.Mounts) error {
	var errs []error
	for _, d := range list {
		want := care.FullQuotas
		if slices.ContainsFunc(p.Settings.Disks, func(c config.StorageDisk) bool { return c.Name == d.Name && c.Quotas == "simple" }) {
			want = care.SimpleQuotas
		}
		var limits []care.Limit
		for _, sh := range p.Shares {
			dir, ok := m.Path(sh)
			if !ok || sh.Disk != d.Name {
				continue
			}
			n := sh.Quota
			if n < config.QuotaLeast {
				n = 0
			}
			if n > 0 && (!d.Btrfs || !snapshots.Subvolume(dir)) {
				errs = append(errs, fault.New(fault.Input, "run `sudo shelf storage convert "+sh.Name+"`", "the quota of the share %s has no effect: %s is not a btrfs subvolume", sh.Name, dir))
				continue
			}
			limits = append(limits, care.Limit{Dir: dir, Bytes: n})
		}
		errs = append(errs, s.Care.Limit(ctx, d, want, limits))
	}
	return errors.Join(errs...)
}

// Troubles is what the disks in use report, and what the last scrub found.
func (s *Server) Troubles() []care.Trouble {
	var list []care.Trouble
	for _, d := range s.Disks.Status() {
		if d.State == disks.Mounted {
			list = append(list, s.Care.State(d.Name).Troubles(d.Name)...)
		}
	}
	return list
}

// Order does what an owner asks for a disk: scrub, balance, replace it or a missing member of it by
// a device, write it without a missing member, end what goes on, or make the directory of a share a
// subvolume.
func (s *Server) Order(what, disk, device, old string) (note string, err error) {
	ctx := context.Background()
	if what == "convert" {
		if note, err = s.Convert(ctx, disk); err == nil {
			err = s.Update(ctx)
		}
		return note, err
	}
	return "", s.order(ctx, what, disk, device, old)
}

func (s *Server) order(ctx context.Context, what, disk, device, old string) error {
	if what == "degraded" {
		if err := s.Disks.Order(ctx, disk); err != nil {
			return err
		}
		return s.Update(ctx)
	}
	if what == "cancel" {
		return s.Care.Cancel(disk)
	}
	for _, c := range careOf(s.Config().Storage, s.Disks.Status()) {
		if c.Name != disk {
			continue
		}
		if what != "replace" {
			return s.Care.Order(ctx, c, what)
		}
		member, path, err := s.Disks.Replacement(s.Config(), disk, device, old)
		if err != nil {
			return err
		}
		return s.Care.Order(ctx, c, what, member, path)
	}
	return fault.New(fault.Usage, "run `shelf storage`", "the disk %q is not in use", disk)
}
