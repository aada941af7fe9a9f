// Package channel is the file that names the system that nodes are to run: one for each family
// of boards, with the hash of its bundle. `imgbuild bundle channel=FILE` writes and signs it, nodes
// with upgrade.auto fetch it.
//
// The file is JSON in one canonical form. Its signature is next to it under the same name with
// Suffix, in the form of a bundle's: minisign's, prehashed.
package channel

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path"
	"slices"

	"imgbuild/init/contract/bundle"
	"imgbuild/init/contract/fault"
)

// Format is the version of the file's shape.
const Format = 1

// Suffix ends the name of the signature.
const Suffix = ".minisig"

// MaxSize bounds the file in bytes.
const MaxSize = 256 << 10

// Channel is the content of the file.
type Channel struct {
	Format  int      `json:"format"`
	Issued  int64    `json:"issued"` // seconds since 1970: a node takes no channel that is older than one it has seen
	Systems []System `json:"systems"`
}

// System is one that some nodes are to run.
type System struct {
	Family   string   `json:"family"`
	Arch     string   `json:"arch"`
	Roles    []string `json:"roles"`
	Version  string   `json:"version"`
	Date     int64    `json:"date"`          // seconds since 1970 of the lock: nodes never go to a lower one
	Manifest string   `json:"manifest"`      // sha256 of the slot's manifest.json, by which bundles name it
	Bundle   string   `json:"bundle"`        // name of the bundle's file
	K3s      string   `json:"k3s,omitempty"` // version
}

// Of is the entry for a bundle in a file of some name.
func Of(m *bundle.Manifest, file string) System {
	s := System{Family: m.Family, Arch: m.Arch, Roles: slices.Clone(m.Roles), Version: m.Version, Date: m.Date, Manifest: m.Slot.Manifest, Bundle: path.Base(file)}
	if m.K3s != nil && m.K3s.Source != "none" {
		s.K3s = m.K3s.Version
	}
	return s
}

// Marshal returns the canonical text.
func (c *Channel) Marshal() ([]byte, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(c, "", "\t")
	if err != nil {
		return nil, fmt.Errorf("channel: %w", err)
	}
	return append(text, '\n'), nil
}

// Open reads a channel that one of the keys has signed.
func Open(keys bundle.Keys, text, signature []byte) (*Channel, error) {
	if len(text) > MaxSize {
		return nil, damaged("it has more than %d bytes", MaxSize)
	}
	if _, err := keys.Verify(text, signature); err != nil {
		return nil, fmt.Errorf("the channel: %w", err)
	}
	var c Channel
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	var shape struct {
		Format int `json:"format"`
	}
	if json.Unmarshal(text, &shape) == nil && shape.Format > Format {
		return nil, fault.New(fault.Input, "upgrade this node by hand", "the channel has format %d, this system reads %d", shape.Format, Format)
	}
	if err := dec.Decode(&c); err != nil {
		return nil, damaged("%v", err)
	}
	again, err := c.Marshal()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, text) {
		return nil, damaged("it is not in its canonical form")
	}
	return &c, nil
}

func damaged(what string, a ...any) error {
	return fault.New(fault.Verify, "write it again with `imgbuild bundle channel=FILE`", "the channel is damaged: %s", fmt.Sprintf(what, a...))
}

func (c *Channel) check() error {
	if c.Format != Format || c.Issued <= 0 || len(c.Systems) == 0 || len(c.Systems) > 64 {
		return damaged("format %d, issued at %d, with %d systems", c.Format, c.Issued, len(c.Systems))
	}
	type target struct{ family, arch, role string }
	seen := map[target]string{}
	for _, s := range c.Systems {
		if s.Family == "" || s.Arch == "" || s.Version == "" || len(s.Roles) == 0 || s.Date < 0 {
			return damaged("family, arch, version, roles or date is missing: %+v", s)
		}
		if sum, err := hex.DecodeString(s.Manifest); err != nil || len(sum) != 32 {
			return damaged("the manifest of %s is no sha256: %q", s.Version, s.Manifest)
		}
		if s.Bundle == "" || s.Bundle != path.Base(s.Bundle) || s.Bundle[0] == '.' {
			return damaged("%q is not a file name", s.Bundle)
		}
		for _, r := range s.Roles {
			t := target{s.Family, s.Arch, r}
			if other, twice := seen[t]; twice {
				return fault.New(fault.Input, "leave one of them out", "%s and %s are both for the role %s of %s", other, s.Version, r, s.Family)
			}
			seen[t] = s.Version
		}
	}
	return nil
}

// For is the system for a node; nil if the channel has none.
func (c *Channel) For(family, arch, role string) *System {
	for i, s := range c.Systems {
		if s.Family == family && s.Arch == arch && slices.Contains(s.Roles, role) {
			return &c.Systems[i]
		}
	}
	return nil
}
