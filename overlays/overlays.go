// Package overlays holds what is added to the packages: whole files, and a table of what their
// maintainer scripts would have done (directories, links, modes), which are never run. One folder
// and one table per slot or family that needs them, and "base" for all.
//
// Users and groups are in base/etc/passwd and base/etc/group with pinned ids: /var outlives every
// upgrade, so an id must never depend on the order in which packages were installed.
package overlays

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"

	"imgbuild/init/contract/datafile"
)

// A new folder has to be named here too.
//
//go:embed *.yaml all:base all:storage
var files embed.FS

// Table is what maintainer scripts would do, as data. Paths are relative to the root; owners are
// names of base/etc/passwd and base/etc/group as user or user:group.
type Table struct {
	Dirs  []Dir  `yaml:"dirs"`
	Links []Link `yaml:"links"`
	Modes []Dir  `yaml:"modes"` // of what packages or overlay bring; a path that is not there is an error unless Optional
	// Busybox are the applets that get a link unless a package brings the program itself.
	Busybox []string `yaml:"busybox"`
	Concat  []Concat `yaml:"concat"`
	Remove  []string `yaml:"remove"`
	SetID   []SetID  `yaml:"setid"`
}

// SetID is a program that its package brings with the set-uid or set-gid bit, and whether it keeps
// it. Programs that no table names lose it too, with a warning.
type SetID struct {
	Path string `yaml:"path"`
	Keep bool   `yaml:"keep"`
	Why  string `yaml:"why"`
}

// Dir is a path with its mode and owner.
type Dir struct {
	Path     string `yaml:"path"`
	Mode     uint16 `yaml:"mode"`
	Owner    string `yaml:"owner"`
	Optional bool   `yaml:"optional"`
}

// Link is a symbolic link.
type Link struct {
	Path     string `yaml:"path"`
	Target   string `yaml:"target"`
	Optional bool   `yaml:"optional"` // only where the target exists
}

// Concat joins the files that match a pattern, in the order of their names.
type Concat struct {
	From string `yaml:"from"`
	To   string `yaml:"to"`
}

// Get returns the files and the table of an overlay: base, or the name of a slot or a family. An
// overlay that does not exist is empty.
func Get(name string) (fs.FS, *Table, error) {
	t := &Table{}
	if err := datafile.Decode(files, "overlays", name+".yaml", t); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	if _, err := fs.Stat(files, name); err != nil {
		return nil, t, nil
	}
	sub, err := fs.Sub(files, name)
	return sub, t, err
}

// Sum is a hash over every overlay and table: what of a slot's bytes this package decides.
func Sum() (string, error) {
	h := sha256.New()
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := files.ReadFile(name)
		fmt.Fprintf(h, "%s %d\n", name, len(data))
		h.Write(data)
		return err
	})
	return hex.EncodeToString(h.Sum(nil)), err
}
