package vm

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"imgbuild/init/contract/fault"
)

// KeptDisk is a disk that outlives its guest, and that one process uses at a time.
type KeptDisk struct {
	Name  string
	Fresh bool // there is nothing on it yet: Fill it
	lock  *os.File
}

// Keep opens a disk, or the place where one will be. Close it in the end.
func Keep(name string) (*KeptDisk, error) {
	const fix = "give another directory as out=DIR"
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return nil, fault.Wrap(err, fault.Device, fix, "making the directory of the disk")
	}
	lock, err := os.OpenFile(name+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fault.Wrap(err, fault.Device, fix, "the disk %s", name)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		return nil, fault.New(fault.Usage, "end the other run, or give another name as keep=", "the disk %s is in use", name)
	}
	k := &KeptDisk{Name: name, lock: lock}
	switch _, err := os.Stat(name); {
	case errors.Is(err, fs.ErrNotExist):
		k.Fresh = true
	case err != nil:
		lock.Close()
		return nil, fault.Wrap(err, fault.Device, fix, "the disk %s", name)
	}
	return k, nil
}

// Fill makes the disk of an image; size is what the guest sees of it, in bytes. It is there whole
// or not at all.
func (k *KeptDisk) Fill(image string, size int64) error {
	half := k.Name + ".part"
	if err := os.Remove(half); err != nil && !errors.Is(err, fs.ErrNotExist) { // of a run that was killed
		return fault.Wrap(err, fault.Device, "", "the disk %s", k.Name)
	}
	if err := Copy(half, image, size); err != nil {
		os.Remove(half)
		return fault.Wrap(err, fault.Device, "free some space", "copying the image to %s", k.Name)
	}
	return fault.Wrap(os.Rename(half, k.Name), fault.Device, "", "the disk %s", k.Name)
}

// Close lets others use the disk. The file of its lock stays: removing it could let two in.
func (k *KeptDisk) Close() error { return k.lock.Close() }
