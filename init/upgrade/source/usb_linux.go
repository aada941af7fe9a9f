package source

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"imgbuild/init/base/mount"
)

// MountStick mounts a file system of a kind that sticks have, read-only. load loads a kernel
// module.
func MountStick(load func(module string, params ...string) error) func(device, dir string) (func() error, error) {
	return func(device, dir string) (func() error, error) {
		var all []error
		for _, kind := range []struct{ name, data string }{
			{"vfat", "iocharset=ascii"}, {"exfat", ""},
			{"ext4", "noload"}, // or a journal would be replayed, and so the stick written to
		} {
			if err := load(kind.name); err != nil {
				all = append(all, err)
				continue
			}
			m := mount.Mount{Source: device, Path: dir, Type: kind.name, Flags: unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, Data: kind.data}
			err := m.Do()
			if err == nil {
				return func() error {
					return errors.Join(os.NewSyscallError("umount", unix.Unmount(dir, unix.MNT_DETACH)), os.Remove(dir))
				}, nil
			}
			all = append(all, err)
		}
		return nil, errors.Join(append(all, os.Remove(dir))...)
	}
}
