// Package marks distinguishes an orderly end of the node from any other, with two files on the data
// partition.
package marks

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"imgbuild/init/contract/atomicfile"
)

// running is there while the node runs; after an orderly end the file last has the reason.
const (
	running = "running"
	last    = "last"
)

// NoShutdown is the reason of a boot that left none itself.
const NoShutdown = "no orderly shutdown: the power went, or the watchdog reset the board"

// Running notes in dir that the node runs and returns how the boot before ended: the reason of an
// orderly end, or that there was none. At the first boot of all it is empty.
func Running(dir string) (how string, err error) {
	reason, err := os.ReadFile(filepath.Join(dir, last))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	how = string(reason)
	if _, err := os.Stat(filepath.Join(dir, running)); err == nil {
		how = NoShutdown
	}
	return how, atomicfile.Write(filepath.Join(dir, running), nil, 0o600)
}

// Stopped notes an orderly end.
func Stopped(dir, reason string) error {
	if err := atomicfile.Write(filepath.Join(dir, last), []byte(reason), 0o600); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(dir, running)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return atomicfile.SyncDir(dir)
}
