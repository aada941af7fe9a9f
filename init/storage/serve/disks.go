package serve

import (
	"context"
	"path/filepath"

	"imgbuild/init/base/mount"
	"imgbuild/init/contract/fault"
	"imgbuild/init/storage/care"
	"imgbuild/init/storage/disks"
	"imgbuild/init/storage/shares"
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

func careOf(list []disks.Status) []care.Disk {
	var out []care.Disk
	for _, d := range list {
		if d.State == disks.Mounted {
			out = append(out, care.Disk{Name: d.Name, At: disks.MountPoint(d.Name), Btrfs: d.Type == "btrfs", ReadOnly: d.ReadOnly, Repair: d.Repairs()})
		}
	}
	return out
}

// Order does what an owner asks for a disk: scrub, balance, replace it or a missing member of it by
// a device, write it without a missing member, or end what goes on.
func (s *Server) Order(what, disk, device, old string) error {
	ctx := context.Background()
	if what == "degraded" {
		if err := s.Disks.Order(ctx, disk); err != nil {
			return err
		}
		return s.Update(ctx)
	}
	if what == "cancel" {
		return s.Care.Cancel(disk)
	}
	for _, c := range careOf(s.Disks.Status()) {
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
