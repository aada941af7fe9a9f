package sources

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fatfile"
	"imgbuild/init/disk"
)

// Prober looks for volumes called CIDATA among the block devices, whole disks and partitions alike.
type Prober struct {
	Sys, Dev string // "/sys", "/dev"
	// Mount mounts an ISO 9660 volume read-only and returns its directory; done unmounts it.
	Mount func(device string) (dir string, done func(), err error)
}

// candidates are the names that a file of a CIDATA volume may have; those of user-data are
// linuxkit's and cloud-init's.
var candidates = [][]string{{config.UserDataName, "user-data", "userdata", "config"}, {config.NetworkConfigName, "network-config"}, {config.MetaDataName, "meta-data"}}

// Read returns the files of the first volume, by device name, that is called CIDATA, and the
// device; nil if there is none.
func (p Prober) Read() (files map[string][]byte, device string, err error) {
	entries, _ := os.ReadDir(filepath.Join(p.Sys, "class/block"))
	var names []string
	for _, e := range entries {
		if n := e.Name(); disk.KindOf(n) != disk.Virtual && disk.KindOf(n) != disk.BootArea {
			names = append(names, n)
		}
	}
	sort.Strings(names)
	for _, n := range names {
		device := filepath.Join(p.Dev, n)
		files, err := p.one(device)
		if errors.Is(err, errOther) {
			continue
		}
		if err == nil && len(files) == 0 {
			err = errNothing(device)
		}
		return files, device, err
	}
	return nil, "", nil
}

// errOther is for a device that is no CIDATA volume.
var errOther = errors.New("another volume")

func (p Prober) one(device string) (map[string][]byte, error) {
	f, err := os.Open(device)
	if err != nil {
		return nil, errOther
	}
	defer f.Close()
	if label, err := fatfile.Label(f); err == nil {
		if !strings.EqualFold(label, Volume) {
			return nil, errOther
		}
		return pick(func(name string) ([]byte, error) { return fatfile.ReadFile(f, name) })
	}
	if !strings.EqualFold(isoLabel(f), Volume) {
		return nil, errOther
	}
	dir, done, err := p.Mount(device)
	if err != nil {
		return nil, err
	}
	defer done()
	return pick(func(name string) ([]byte, error) { return readSome(filepath.Join(dir, name)) })
}

func pick(read func(string) ([]byte, error)) (map[string][]byte, error) {
	out := map[string][]byte{}
	for _, c := range candidates {
		for _, name := range c[1:] {
			data, err := read(name)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, err
			}
			out[c[0]] = data
			break
		}
	}
	return out, nil
}

// isoLabel returns the name of an ISO 9660 volume, "" if it is none: the primary volume descriptor
// is in sector 16 of 2048 bytes and has the name at byte 40 (ECMA-119, 8.4).
func isoLabel(r io.ReaderAt) string {
	b := make([]byte, 2048)
	if _, err := r.ReadAt(b, 16*2048); err != nil || b[0] != 1 || !bytes.Equal(b[1:6], []byte("CD001")) {
		return ""
	}
	return strings.TrimRight(string(b[40:72]), " \x00")
}
