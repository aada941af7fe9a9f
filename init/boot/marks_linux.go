package boot

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"imgbuild/init/base/mount"
)

// stateDir is ours on the data partition. running is there while the node runs; after an orderly end last says why.
const (
	stateDir    = "/var/lib/shelf"
	runningMark = "running"
	lastMark    = "last"
)

// markRunning notes that the node runs and says how the boot before ended: the reason of an orderly end, or that there
// was none. At the first boot of all it says nothing.
func markRunning(dir string) (string, error) {
	last, err := os.ReadFile(filepath.Join(dir, lastMark))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	how := string(last)
	if _, err := os.Stat(filepath.Join(dir, runningMark)); err == nil {
		how = "no orderly shutdown: the power went, or the watchdog reset the board"
	}
	return how, mount.Replace(filepath.Join(dir, runningMark), nil, 0o600, os.Getuid(), os.Getgid())
}

// markStopped notes an orderly end.
func markStopped(dir, reason string) error {
	if err := mount.Replace(filepath.Join(dir, lastMark), []byte(reason), 0o600, os.Getuid(), os.Getgid()); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(dir, runningMark)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return mount.SyncDir(dir)
}
