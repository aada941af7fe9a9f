package bundle

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"imgbuild/init/contract/codec"
	"imgbuild/init/contract/diskmap"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/firmware"
	"imgbuild/init/contract/manifest"
)

// Format is the version of the manifest's shape.
const Format = 1

// Manifest is what is signed. Its text is canonical: there is one text for one manifest, and no
// other is read.
type Manifest struct {
	Format   int             `json:"format"`
	Family   string          `json:"family"`  // boards that it is for
	Arch     string          `json:"arch"`    // Debian's name
	Roles    []string        `json:"roles"`   // that it can run as
	Version  string          `json:"version"` // of the slot
	Date     int64           `json:"date"`    // seconds since 1970 of the lock
	Floor    int64           `json:"floor"`   // security floor: once it is committed, bundles below it are refused
	Expires  int64           `json:"expires"` // seconds since 1970 from which on it is stale; 0 for never
	Kernel   string          `json:"kernel"`  // as uname prints it
	Init     string          `json:"init_sha256"`
	K3s      *manifest.K3s   `json:"k3s,omitempty"` // with source firstboot, the file of this hash is needed next to the slot
	Slot     Slot            `json:"slot"`
	Root     manifest.Root   `json:"root"`
	Index    Blob            `json:"index"`
	Encoders []codec.Encoder `json:"encoders"` // that made the slot
	// Firmware is what the boot partition has of this version, by package firmware. Only an upgrade
	// of the firmware writes it.
	Firmware []firmware.File `json:"firmware,omitempty"`
}

// Slot is the slot as a whole.
type Slot struct {
	Size     int64  `json:"size"`     // bytes from the start of the partition that matter
	SHA256   string `json:"sha256"`   // of those bytes
	Manifest string `json:"manifest"` // sha256 of the slot's manifest.json, by which deltas name a slot
}

// Blob is a part of the bundle.
type Blob struct {
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// MaxSlot is the largest slot there can be: the partition of the disk layout.
const MaxSlot = diskmap.SlotSize

// Marshal returns the canonical text.
func (m *Manifest) Marshal() ([]byte, error) {
	if err := m.Check(); err != nil {
		return nil, err
	}
	data, err := json.MarshalIndent(m, "", "\t")
	if err != nil {
		return nil, fmt.Errorf("bundle manifest: %w", err)
	}
	return append(data, '\n'), nil
}

// ParseManifest reads a manifest and refuses every text but the canonical one.
func ParseManifest(text []byte) (*Manifest, error) {
	if len(text) > MaxManifest {
		return nil, damaged("the bundle's manifest has %d bytes, more than %d", len(text), MaxManifest)
	}
	var shape struct {
		Format int `json:"format"`
	}
	if json.Unmarshal(text, &shape) == nil && shape.Format > Format {
		return nil, fault.New(fault.Input, "upgrade by a version in between", "the bundle's manifest has format %d, this program reads %d", shape.Format, Format)
	}
	m := &Manifest{}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(m); err != nil {
		return nil, damaged("the bundle's manifest: %v", err)
	}
	again, err := m.Marshal()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, text) {
		return nil, damaged("the bundle's manifest is not in its canonical form")
	}
	return m, nil
}

// Check returns the first defect of a manifest.
func (m *Manifest) Check() error {
	bad := func(what string, args ...any) error {
		return damaged("bundle manifest: %s", fmt.Sprintf(what, args...))
	}
	if m.Format != Format {
		return bad("format %d, this program reads %d", m.Format, Format)
	}
	if m.Family == "" || m.Arch == "" || m.Version == "" || len(m.Roles) == 0 || len(m.Roles) > 64 || len(m.Encoders) > 64 {
		return bad("family, arch, version, roles or encoders are missing or too many")
	}
	if m.Date < 0 || m.Floor < 0 || m.Expires < 0 {
		return bad("a negative date, floor or expiry")
	}
	if m.Slot.Size <= 0 || m.Slot.Size > MaxSlot || m.Slot.Size%512 != 0 {
		return bad("a slot of %d bytes", m.Slot.Size)
	}
	if m.Index.Size <= 0 || m.Index.Size > MaxIndex {
		return bad("an index of %d bytes", m.Index.Size)
	}
	for _, h := range [][2]string{{"init", m.Init}, {"slot", m.Slot.SHA256}, {"slot manifest", m.Slot.Manifest}, {"index", m.Index.SHA256}, {"root", m.Root.Hash}} {
		if !isSum(h[1]) {
			return bad("the hash of %s is not a sha256: %q", h[0], h[1])
		}
	}
	if m.K3s != nil && m.K3s.Source == "firstboot" && !isSum(m.K3s.SHA256) {
		return bad("k3s without a sha256")
	}
	r := m.Root
	if r.Offset <= 0 || r.Size <= 0 || r.Offset%4096 != 0 || r.Size%4096 != 0 || r.TreeSize <= 0 || r.TreeSize%4096 != 0 ||
		r.Size > MaxSlot || r.TreeSize > MaxSlot || r.TreeOffset != r.Offset+r.Size || r.TreeOffset > m.Slot.Size-r.TreeSize {
		return bad("the root is not in whole blocks of the slot: %+v", r)
	}
	if s, err := hex.DecodeString(r.Salt); err != nil || len(s) > 256 {
		return bad("salt %q", r.Salt)
	}
	if err := firmware.Check(m.Firmware); err != nil {
		return bad("firmware: %v", err)
	}
	return nil
}

func isSum(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == 32
}

// SlotSum is what deltas name the slot by.
func (m *Manifest) SlotSum() [32]byte {
	b, _ := hex.DecodeString(m.Slot.Manifest)
	var sum [32]byte
	copy(sum[:], b)
	return sum
}

// Node is what decides whether a machine may take a bundle.
type Node struct {
	Family string
	Role   string
	Floor  int64 // of what was committed on it
	Space  int64 // bytes of the slot's partition
}

// Accept returns why a node must not take the bundle; nil if it may. Nothing is written before it
// was asked.
func (m *Manifest) Accept(n Node) error {
	switch {
	case m.Family != n.Family:
		return fault.New(fault.Input, "take the bundle of family "+n.Family, "the bundle is for family %s, this machine is one of %s", m.Family, n.Family)
	case !slices.Contains(m.Roles, n.Role):
		return fault.New(fault.Input, "take a bundle that has the role "+n.Role, "the bundle has the roles %v, this machine is a %s", m.Roles, n.Role)
	case m.Floor < n.Floor:
		return fault.New(fault.Verify, "take a newer one; an older slot that is still there can be booted with `shelf rollback`",
			"the bundle has the security floor %d, this machine has committed %d", m.Floor, n.Floor)
	case m.Slot.Size > n.Space:
		return fault.New(fault.Device, "take a bundle with fewer packages", "the slot has %d bytes, its partition %d", m.Slot.Size, n.Space)
	}
	return nil
}

// Expired reports whether the bundle is stale at a time. Ask only where the clock is known to be
// right.
func (m *Manifest) Expired(now time.Time) bool { return m.Expires != 0 && now.Unix() >= m.Expires }
