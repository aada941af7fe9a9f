// Package firmware is what a boot partition (BOOT) consists of: the board's files, which a bundle
// carries and a firmware upgrade writes, and the user's, which stay. There are places for two BOOTs
// on a disk; the partition table names the one that boots.
package firmware

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strings"

	"imgbuild/init/contract/fat"
)

// Of the FAT volume.
const (
	Label       = "BOOT"
	ClusterSize = 1 << 10 // BOOT needs small clusters to be FAT32
)

// Names of files.
const (
	Script = "boot.scr" // one for each board: it names the board
	Part   = "config.d/"
	Words  = "usercmdline.txt" // its first line is words for the kernel, after those of boot.scr
)

// MaxWords is how long Words may be, in bytes. The command line of a 32-bit kernel has 1024 bytes
// (COMMAND_LINE_SIZE), of which boot.scr takes about 250.
const MaxWords = 511

// Limits of what a bundle carries.
const (
	MaxFiles = 256
	MaxSize  = 48 << 20 // bytes in all: a node holds them in memory before it writes any
)

// File is a file of the board.
type File struct {
	Path   string `json:"path"`
	Board  string `json:"board,omitempty"` // only for this one; empty: for every board of the family
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Placed is a file and where it begins in the bundle's firmware, in bytes.
type Placed struct {
	File
	Off int64
}

// users are the files that belong to the user of a node, or that the node writes for the user. They
// are taken over from one BOOT to the other.
var users = []string{"config.yaml", "report.txt", "rescue.txt", "usercfg.txt", Words, "user-data", "meta-data", "network-config"}

// User reports whether a file is the user's.
func User(name string) bool {
	name = strings.ToLower(name)
	return slices.Contains(users, name) || strings.HasPrefix(name, Part)
}

// InPlace reports whether the node rewrites a file in place: such files come last, in areas of
// their own.
func InPlace(name string) bool {
	return name == "config.yaml" || name == "report.txt" || name == "rescue.txt"
}

// Compare is the order of the files of a bundle.
func Compare(a, b File) int {
	return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Board, b.Board))
}

// Check returns the first defect of a list of files.
func Check(files []File) error {
	if len(files) > MaxFiles {
		return fmt.Errorf("%d files, more than %d", len(files), MaxFiles)
	}
	var all int64
	for i, f := range files {
		sum, err := hex.DecodeString(f.SHA256)
		switch {
		case f.Path == "" || len(f.Path) > 200 || path.Clean("/"+f.Path) != "/"+f.Path || strings.ContainsAny(f.Path, "\\:*?\"<>|\x00") || User(f.Path):
			return fmt.Errorf("a file %q", f.Path)
		case err != nil || len(sum) != 32 || f.SHA256 != strings.ToLower(f.SHA256):
			return fmt.Errorf("the hash of %s is not a sha256: %q", f.Path, f.SHA256)
		case f.Size <= 0 || f.Size > MaxSize:
			return fmt.Errorf("%s with %d bytes", f.Path, f.Size)
		case i > 0 && Compare(files[i-1], f) >= 0:
			return fmt.Errorf("%s is not in its place", f.Path)
		case i > 0 && strings.EqualFold(files[i-1].Path, f.Path) && (files[i-1].Board == "" || files[i-1].Path != f.Path):
			return fmt.Errorf("%s is there twice", f.Path)
		}
		if all += f.Size; all > MaxSize {
			return fmt.Errorf("more than %d bytes", MaxSize)
		}
	}
	return nil
}

// Size is how many bytes all files have.
func Size(files []File) (n int64) {
	for _, f := range files {
		n += f.Size
	}
	return n
}

// For returns the files for a board, in the order of the bundle. ok is false if there is no boot
// script for it.
func For(files []File, board string) (list []Placed, ok bool) {
	var at int64
	for _, f := range files {
		if f.Board == "" || f.Board == board {
			list = append(list, Placed{f, at})
			ok = ok || f.Path == Script
		}
		at += f.Size
	}
	return list, ok
}

// Volume is a BOOT of files at a place of the disk, in bytes. The files are put in their order.
func Volume(files []fat.File, id uint32, at, size int64) *fat.Volume {
	list := slices.Clone(files)
	for i := range list {
		list[i].Apart = InPlace(list[i].Path)
	}
	slices.SortFunc(list, func(a, b fat.File) int {
		if a.Apart != b.Apart {
			if b.Apart {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.Path, b.Path)
	})
	return &fat.Volume{Label: Label, ID: id, Start: uint32(at / fat.SectorSize), Size: size, ClusterSize: ClusterSize, Files: list}
}
