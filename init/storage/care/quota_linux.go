package care

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"imgbuild/init/contract/fault"
	"imgbuild/init/supervise"
)

// Limit brings the limits of a disk's subvolumes to those asked for. What was set is recorded on
// the disk, so that a limit that is taken out of the configuration is lifted after a boot too.
func (k *Keeper) Limit(ctx context.Context, d Disk, want Quotas, limits []Limit) error {
	if !d.Btrfs || d.ReadOnly {
		return nil
	}
	s, err := k.load(d)
	if err != nil {
		return err
	}
	var set []Limit
	for _, l := range limits {
		if l.Bytes > 0 {
			set = append(set, l)
		}
	}
	var errs []error
	for _, args := range QuotaSteps(d.At, counting(d.UUID), want, s.Limits, limits) {
		_, err := supervise.Run(ctx, supervise.Cmd(append([]string{"btrfs"}, args...)...))
		errs = append(errs, fault.Wrap(err, fault.Device, "see `shelf dmesg`", "quotas of the disk %s", d.Name))
	}
	if err := errors.Join(errs...); err != nil || slices.Equal(set, s.Limits) {
		return err
	}
	return k.change(d, func(s *State) { s.Limits = set })
}

// counting is how the mounted file system with a UUID counts.
func counting(uuid string) Quotas {
	read := func(name string) string {
		text, _ := os.ReadFile(filepath.Join("/sys/fs/btrfs", uuid, "qgroups", name))
		return strings.TrimSpace(string(text))
	}
	return ParseQuotas(read("enabled"), read("mode"))
}
