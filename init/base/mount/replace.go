package mount

import (
	"os"
	"path/filepath"
)

// Replace writes a file so that at every moment, a power cut included, the old content or the new
// one is there whole: a temporary file next to it, fsync, rename, fsync of the directory. The mode
// is exact.
func Replace(path string, data []byte, mode os.FileMode, uid, gid int) (err error) {
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			tmp.Close()
			os.Remove(tmp.Name())
		}
	}()
	if err = tmp.Chmod(mode); err != nil {
		return err
	}
	if err = own(tmp.Name(), uid, gid); err != nil {
		return err
	}
	if mode&(os.ModeSetuid|os.ModeSetgid) != 0 { // lost with a change of owner
		if err = tmp.Chmod(mode); err != nil {
			return err
		}
	}
	if _, err = tmp.Write(data); err != nil {
		return err
	}
	if err = tmp.Sync(); err != nil {
		return err
	}
	if err = tmp.Close(); err != nil {
		return err
	}
	if err = os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	return SyncDir(dir)
}

// SyncDir makes the names in a directory durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
