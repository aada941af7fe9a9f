// Package manifest is the description of one slot: what it is, for which machines, and the hash of
// every byte in it.
//
// The builder writes it into the slot as manifest.json, next to manifest.sha256; U-Boot never reads
// it, /init does before it trusts anything else in the slot. It never holds configuration or
// secrets, so that one slot serves many nodes.
package manifest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"imgbuild/init/contract/codec"
)

// Format is the version of the manifest's own shape.
const Format = 1

// Names of the slot's files. Device trees are under DTBDir.
const (
	Name       = "manifest.json"
	SumName    = "manifest.sha256"
	KernelName = "kernel"
	InitrdName = "initramfs"
	RootName   = "root.squashfs"
	TreeName   = "root.verity"
	DTBDir     = "dtb"
)

// Manifest describes one slot. Sizes and offsets are in bytes, offsets from the start of the slot's
// partition.
type Manifest struct {
	Format     int      `json:"format"`
	Family     string   `json:"family"`          // boards with the same slot, such as rpi64
	Arch       string   `json:"arch"`            // Debian's name: arm64, armhf
	Roles      []string `json:"roles"`           // what this slot can run as
	Version    string   `json:"version"`         // lock date and recipe hash: 20261122-0badc0de
	Date       int64    `json:"date"`            // seconds since 1970 of the lock; no clock may run before it
	Compatible []string `json:"compatible"`      // device tree compatibles that may boot it, the first of a board's list each
	MinMemory  int64    `json:"min_memory"`      // bytes of RAM below which no role of this slot is started
	Kernel     string   `json:"kernel"`          // the kernel's release as uname prints it
	InitSHA256 string   `json:"init_sha256"`     // of the init program
	Lacks      []string `json:"lacks,omitempty"` // what its packages are known to lack: "no security suite in this lock"
	K3s        *K3s     `json:"k3s,omitempty"`

	Health map[string]Health `json:"health,omitempty"` // by role

	Root  Root   `json:"root"`
	Files []File `json:"files"` // every file of the slot but the manifest and its sum, sorted by path

	// Encoders made the slot. A node that has the same can make it again out of a delta.
	Encoders []codec.Encoder `json:"encoders,omitempty"`
}

// K3s is the k3s of the slot and where it comes from.
type K3s struct {
	Version string `json:"version"`
	Source  string `json:"source"` // embedded (in the squashfs as /usr/bin/k3s), firstboot, none
	SHA256  string `json:"sha256,omitempty"`
	URL     string `json:"url,omitempty"` // firstboot: where the node fetches it
	Size    int64  `json:"size,omitempty"`
}

// Health is when a node of some role counts as healthy.
type Health struct {
	Checks   []string `json:"checks"`   // names of package checks; the node leaves out those that it does not know
	Deadline int64    `json:"deadline"` // seconds after the start of its services in which a trial has to pass them
}

// Root locates the squashfs and its verity tree, the tree after the squashfs.
type Root struct {
	Offset     int64  `json:"offset"`
	Size       int64  `json:"size"`        // of the squashfs, a multiple of 4096
	TreeOffset int64  `json:"tree_offset"` // = Offset + Size
	TreeSize   int64  `json:"tree_size"`
	Hash       string `json:"hash"` // hex sha256: dm-verity's root hash, 4096-byte blocks, format 1, no superblock
	Salt       string `json:"salt"` // hex
}

// File is one file of the slot.
type File struct {
	Path   string `json:"path"`
	Offset int64  `json:"offset"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Marshal returns the canonical bytes and the content of manifest.sha256: one line as sha256sum
// prints it.
func (m *Manifest) Marshal() (data, sum []byte, err error) {
	data, err = json.MarshalIndent(m, "", "\t")
	if err != nil {
		return nil, nil, fmt.Errorf("manifest: %w", err)
	}
	data = append(data, '\n')
	h := sha256.Sum256(data)
	return data, []byte(hex.EncodeToString(h[:]) + "  " + Name + "\n"), nil
}

// Parse reads a manifest and checks it against its sum and itself. Errors name the wrong field.
func Parse(data, sum []byte) (*Manifest, error) {
	want, _, ok := strings.Cut(string(sum), " ")
	if h := sha256.Sum256(data); !ok || hex.EncodeToString(h[:]) != want {
		return nil, fmt.Errorf("%s does not match %s", Name, SumName)
	}
	var m Manifest
	dec := json.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(&m); err != nil {
		return nil, fmt.Errorf("%s: %w", Name, err)
	}
	return &m, m.Check()
}

// Check returns what is wrong with the manifest itself.
func (m *Manifest) Check() error {
	bad := func(what string, args ...any) error { return fmt.Errorf("%s: %s", Name, fmt.Sprintf(what, args...)) }
	if m.Format != Format {
		return bad("format %d, this program reads %d", m.Format, Format)
	}
	if m.Family == "" || m.Version == "" || len(m.Roles) == 0 || len(m.Compatible) == 0 {
		return bad("family, version, roles or compatible is missing")
	}
	r := m.Root
	if r.Offset <= 0 || r.Size <= 0 || r.Offset%4096 != 0 || r.Size%4096 != 0 || r.TreeOffset != r.Offset+r.Size || r.TreeSize <= 0 || r.TreeSize%4096 != 0 {
		return bad("root is not in whole blocks: %+v", r)
	}
	if h, err := hex.DecodeString(r.Hash); err != nil || len(h) != sha256.Size {
		return bad("root hash %q is not a sha256", r.Hash)
	}
	if s, err := hex.DecodeString(r.Salt); err != nil || len(s) > 256 {
		return bad("salt %q is not hex of at most 256 bytes", r.Salt)
	}
	for _, f := range m.Files {
		if f.Path == "" || path.Clean("/"+f.Path) != "/"+f.Path || f.Size < 0 || f.Offset < 0 {
			return bad("file %q has no proper path, size or offset", f.Path)
		}
	}
	return nil
}

// File finds a file by its path; nil if the slot has none.
func (m *Manifest) File(name string) *File {
	for i := range m.Files {
		if m.Files[i].Path == name {
			return &m.Files[i]
		}
	}
	return nil
}

// Fits reports whether the slot may boot on a machine with these device tree compatibles.
func (m *Manifest) Fits(compatible []string) bool {
	for _, have := range compatible {
		for _, want := range m.Compatible {
			if have == want {
				return true
			}
		}
	}
	return false
}
