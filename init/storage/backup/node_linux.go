package backup

import (
	"path/filepath"
	"slices"
	"time"

	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/storage/disks"
	"imgbuild/init/storage/shares"

	"github.com/moby/sys/mountinfo"
)

// OfNode is the Job of this node with its configuration. own is the directory .shelfos of the first
// disk in use.
func OfNode(c config.Storage, host, own string, devices func() ([]disks.Device, error), say func(format string, a ...any)) (*Job, error) {
	j := &Job{Own: own, Host: host, Keep: c.Backup.Rules(), Remotes: c.Backup.To, Devices: devices, Say: say, Now: time.Now}
	for _, sh := range shares.Make(c).Shares {
		at := disks.MountPoint(sh.Disk)
		on, err := mountinfo.Mounted(at)
		if err != nil {
			return nil, err
		}
		named := slices.Contains(c.Backup.Shares, sh.Name)
		s := Share{Name: sh.Name, Dir: filepath.Join(at, sh.Dir), Disk: at}
		switch {
		case on:
			j.All = append(j.All, s)
		case named:
			j.Left = append(j.Left, fault.New(fault.Device, "run `shelf storage`", "the share %s: its disk is not in use", s.Name))
		}
		switch _, err := infoOf(s.Dir); {
		case !on || len(c.Backup.Shares) > 0 && !named:
		case err == nil:
			j.Shares = append(j.Shares, s)
		case named:
			j.Left = append(j.Left, fault.New(fault.Input, "run `sudo shelf storage convert "+s.Name+"`", "the share %s cannot be backed up: its directory is not a btrfs subvolume", s.Name))
		default:
			say("the share %s is left out: its directory is not a btrfs subvolume (`sudo shelf storage convert %s`)", s.Name, s.Name)
		}
	}
	return j, nil
}
