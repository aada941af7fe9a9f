// Package blockcache keeps what a build can use again: downloads by their sha256, the decoded data
// of packages, and compressed squashfs blocks.
//
// Layout of the directory (all of it may be deleted at any time):
//
//	blob/ab/HEX      a whole download; its name is the sha256 of its bytes
//	partial/HEX      a download that is not finished, named by the sha256 it shall have; held under flock(2)
//	decoded/ab/HEX   decoded data; the name is the sha256 of its key
//	decoded/ab/HEX.sum  one line "CRC32C SIZE" about it, written after it
//	block/ab/HEX     one compressed block: CRC32C of the rest (4 bytes, big-endian), then the rest
//	tmp/             files being written, which get their final name by rename(2), and working directories of tests and guests
//
// Whatever is read is checked first, and what does not match is removed and counts as absent. So a
// full disk, a torn write or a second process never does harm, and no fsync is needed. Downloads
// are checked by their sha256, because that is what a lock promises; what we made ourselves by
// CRC32C, which costs a twentieth where the processor has no instructions for sha256, and guards
// against the same accidents.
package blockcache

import (
	"encoding/hex"
	"errors"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"imgbuild/builder/scratch"
	"imgbuild/init/contract/fault"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Cache is an open cache directory. It is safe for use by many goroutines and many processes at the
// same time.
type Cache struct {
	dir string

	mu   sync.Mutex
	busy map[string]*sync.Mutex // keys of Decoded being worked on
}

// tag marks the directory for backup programs (the Cache Directory Tagging specification).
const tag = "Signature: 8a477f597d28d172789f06886806bc55\n# This directory is a cache of imgbuild. It may be deleted.\n"

// Default is the directory used when the caller names none: $IMGBUILD_CACHE,
// $XDG_CACHE_HOME/imgbuild, else $HOME/.cache/imgbuild.
func Default() (string, error) {
	if dir := os.Getenv("IMGBUILD_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fault.Wrap(err, fault.Input, "set HOME, or use cache=DIR", "no cache directory")
	}
	return filepath.Join(dir, "imgbuild"), nil
}

// Open opens the cache in dir, which is created where it is missing; an empty dir means Default.
func Open(dir string) (*Cache, error) {
	if dir == "" {
		var err error
		if dir, err = Default(); err != nil {
			return nil, err
		}
	}
	for _, sub := range []string{"blob", "partial", "decoded", "block", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o777); err != nil {
			return nil, deviceFault(err, dir)
		}
	}
	c := &Cache{dir: filepath.Clean(dir), busy: map[string]*sync.Mutex{}}
	name := filepath.Join(dir, "CACHEDIR.TAG")
	if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
		if err := c.write(name, []byte(tag)); err != nil {
			return nil, deviceFault(err, dir)
		}
	}
	c.sweep()
	return c, nil
}

// Dir is the directory of the cache.
func (c *Cache) Dir() string { return c.dir }

// Scratch makes a directory for files of any size; /tmp is memory on many systems. The caller
// removes it; when the caller is killed, the next Open does.
func (c *Cache) Scratch(purpose string) (*scratch.Dir, error) {
	d, err := scratch.NewDir(filepath.Join(c.dir, "tmp"), purpose)
	if err != nil {
		return nil, deviceFault(err, c.dir)
	}
	return d, nil
}

// stale is how old a file in tmp without a mark is, from an older program, when its writer must be
// dead.
const stale = 24 * time.Hour

// sweep removes what writers left behind when they were killed.
func (c *Cache) sweep() {
	scratch.Sweep(filepath.Join(c.dir, "tmp"))
	list, _ := os.ReadDir(filepath.Join(c.dir, "tmp"))
	for _, e := range list {
		if info, err := e.Info(); err == nil && !strings.HasPrefix(e.Name(), scratch.Mark) && time.Since(info.ModTime()) > stale {
			os.Remove(filepath.Join(c.dir, "tmp", e.Name()))
		}
	}
}

// path is the path of the file of kind named sum.
func (c *Cache) path(kind string, sum [32]byte) string {
	name := hex.EncodeToString(sum[:])
	return filepath.Join(c.dir, kind, name[:2], name)
}

// temp makes a file for writing; commit or discard ends it.
func (c *Cache) temp() (*os.File, error) {
	return scratch.NewFile(filepath.Join(c.dir, "tmp"), "part")
}

// commit closes f and gives it its final name; on an error f is gone.
func (c *Cache) commit(f *os.File, final string) error {
	err := f.Chmod(0o644)
	if err == nil {
		err = rename(f.Name(), final) // while it is held
	}
	if e := f.Close(); err == nil && e != nil {
		os.Remove(final)
		err = e
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// discard closes and removes f.
func discard(f *os.File) {
	os.Remove(f.Name())
	f.Close()
}

// rename moves a file to its final name, whose folder is made when it is missing.
func rename(from, to string) error {
	err := os.Rename(from, to)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(filepath.Dir(to), 0o777); err == nil {
			err = os.Rename(from, to)
		}
	}
	return err
}

// write makes a small file whole.
func (c *Cache) write(final string, parts ...[]byte) error {
	f, err := c.temp()
	if err != nil {
		return err
	}
	for _, p := range parts {
		if _, err := f.Write(p); err != nil {
			discard(f)
			return err
		}
	}
	return c.commit(f, final)
}

// deviceFault is the error of a cache in dir that cannot be written.
func deviceFault(err error, dir string) error {
	return fault.Wrap(err, fault.Device, "free some space there, or name another directory with cache=DIR",
		"the cache %s cannot be written", dir)
}
