package layout

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"imgbuild/init/contract/atomicfile"

	"golang.org/x/sys/unix"
)

// resetFlag is next to the imported configuration and orders a reset; it holds a number of 8 hex
// digits, by which a reset that was cut short is recognised.
const resetFlag = "reset"

// Kept is what of k3os/data survives a reset, next to k3os/config, which is not touched: what makes
// the node the same node for ssh, for its cluster and for the people who know its name, the time,
// and which other disk holds its data.
var Kept = []string{
	"var/lib/rancher/k3os/hostname", "var/lib/rancher/k3os/node", "var/lib/rancher/k3os/ssh",
	"var/lib/shelf/machine-id", "var/lib/shelf/clock", "var/lib/shelf/data-disk", "var/lib/shelf/upgrade",
}

// OrderReset notes in store (/k3os/config) that the next boot resets the data.
func OrderReset(store string) error {
	var number [4]byte
	if _, err := rand.Read(number[:]); err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(store, resetFlag), []byte(hex.EncodeToString(number[:])), 0o600)
}

// reset does what OrderReset noted, below dir, the directory k3os of the data partition, before
// anything of it is in use. done reports that the data are new. A power cut at any moment leaves a
// partition on which the next call finishes the work:
//
//	data-new       is made, with links to the files that are kept, and reaches the disk
//	data       ->  data-old-NUMBER; that there is one means that data-new was whole
//	data-new   ->  data
//	reset          is removed
//
// data-old-* is left for sweep, for it may hold a hundred thousand files. at is called before each
// step, in tests.
func reset(dir string, at func(step string)) (done bool, err error) {
	flag := filepath.Join(dir, "config", resetFlag)
	if _, err := os.Lstat(flag); err != nil {
		return false, nil // there is none; and a file system that is damaged on the way there is reported elsewhere
	}
	text, err := os.ReadFile(flag)
	number := strings.TrimSpace(string(text))
	if raw, herr := hex.DecodeString(number); err != nil || herr != nil || len(raw) != 4 {
		return false, fmt.Errorf("%s cannot be read as an order to reset", flag)
	}
	data, fresh, old := filepath.Join(dir, "data"), filepath.Join(dir, "data-new"), filepath.Join(dir, "data-old-"+number)
	if _, err := os.Stat(old); errors.Is(err, fs.ErrNotExist) {
		at("make")
		if err := renew(data, fresh, at); err != nil {
			return false, err
		}
		at("first rename")
		if err := os.Rename(data, old); err != nil {
			return false, err
		}
	}
	if _, err := os.Stat(data); errors.Is(err, fs.ErrNotExist) {
		at("second rename")
		if err := os.Rename(fresh, data); err != nil {
			return false, err
		}
	}
	at("sync")
	if err := syncFS(dir); err != nil {
		return true, err
	}
	at("remove")
	if err := os.Remove(flag); err != nil {
		return true, err
	}
	return true, atomicfile.SyncDir(filepath.Dir(flag))
}

// renew makes fresh again, with links to what is kept of data: they need no space, and a disk that
// is full is a reason for a reset.
func renew(data, fresh string, at func(string)) error {
	if err := os.RemoveAll(fresh); err != nil {
		return err
	}
	if err := os.Mkdir(fresh, 0o755); err != nil {
		return err
	}
	for _, name := range Kept {
		at("keep " + name)
		if err := keepTree(data, fresh, name); err != nil {
			return err
		}
	}
	return syncFS(fresh)
}

// keepTree links the file or tree at data/name to fresh/name; the directories above get the modes
// they have. A file that does not exist is not kept.
func keepTree(data, fresh, name string) error {
	if _, err := os.Lstat(filepath.Join(data, name)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	parent := ""
	for part := range strings.SplitSeq(filepath.Dir(name), "/") {
		parent = filepath.Join(parent, part)
		if err := likeDir(filepath.Join(data, parent), filepath.Join(fresh, parent)); err != nil {
			return err
		}
	}
	return filepath.WalkDir(filepath.Join(data, name), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(data, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return likeDir(path, filepath.Join(fresh, rel))
		}
		return os.Link(path, filepath.Join(fresh, rel))
	})
}

// likeDir makes a directory with the mode and owner of another one, unless it is there.
func likeDir(from, to string) error {
	st, err := os.Stat(from)
	if err != nil {
		return err
	}
	if err := os.Mkdir(to, 0o700); errors.Is(err, fs.ErrExist) {
		return nil
	} else if err != nil {
		return err
	}
	if s, ok := st.Sys().(*syscall.Stat_t); ok && os.Getuid() == 0 {
		if err := os.Chown(to, int(s.Uid), int(s.Gid)); err != nil {
			return err
		}
	}
	return os.Chmod(to, st.Mode().Perm())
}

// syncFS writes out the file system that dir is on.
func syncFS(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}

// sweep returns what removes the data of resets that were done, at leisure; nil if there is nothing
// to remove. dir need not be reachable any more when it runs.
func sweep(dir string) func() error {
	olds, _ := filepath.Glob(filepath.Join(dir, "data-old-*"))
	if len(olds) == 0 {
		return nil
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return func() error { return err }
	}
	return func() error {
		defer root.Close()
		var errs []error
		for _, old := range olds {
			errs = append(errs, root.RemoveAll(filepath.Base(old)))
		}
		return errors.Join(errs...)
	}
}
