// Package bootpart writes to the boot partition in the only way that the node does: into the
// sectors of a file that is there, below its file system, whose structure is never touched.
package bootpart

import (
	"fmt"
	"os"
	"path/filepath"

	"imgbuild/init/contract/fatfile"

	"golang.org/x/sys/unix"
)

// Overwrite replaces the content of a file on device, padded up to its length, and has the mount at
// dir read it from the device again.
func Overwrite(device, dir, name string, text []byte, pad byte) error {
	f, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := fatfile.Overwrite(f, name, text, pad); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("writing to %s: %w", device, err)
	}
	if seen, err := os.Open(filepath.Join(dir, name)); err == nil {
		_ = unix.Fadvise(int(seen.Fd()), 0, 0, unix.FADV_DONTNEED)
		seen.Close()
	}
	return nil
}
