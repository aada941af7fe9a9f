// Package images holds what a node is for as data: one file per role, one per slot (roles with the
// same packages share it: a server and a worker are the same slot, distinguished by their config),
// and the locks of every board family.
package images

import (
	"embed"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"

	"imgbuild/init/contract/checks"
	"imgbuild/init/contract/datafile"
)

//go:embed *.yaml slots/*.yaml all:locks
var files embed.FS

// Role is what a node does.
type Role struct {
	Name     string   `yaml:"-" json:"name"`
	Title    string   `yaml:"title" json:"title"`
	Slot     string   `yaml:"slot" json:"slot"`
	MemoryMB int      `yaml:"memory_mb" json:"memory_mb"` // below it the role is not started
	Services []string `yaml:"services" json:"services"`   // that run when all is well, for people
	Config   []string `yaml:"config" json:"config"`       // keys that it cannot do without
	Sections []string `yaml:"sections" json:"sections"`   // of cloud-config that it reads next to the common ones
	Health   Health   `yaml:"health" json:"health"`
	Ports    []Port   `yaml:"ports" json:"ports"` // that it listens on next to those of every node
}

// Health is when a node of the role counts as healthy: what commits an upgrade, and what shelf
// status, the metrics and the alerts go by.
type Health struct {
	Checks   []string `yaml:"checks" json:"checks"`       // of package checks, next to those of every node
	Deadline int      `yaml:"deadline" json:"deadline_s"` // seconds in which a new system has to pass them
}

// Slot is the package set of one or more roles.
type Slot struct {
	Name     string   `yaml:"-" json:"name"`
	Packages []string `yaml:"packages" json:"packages"`
	Modules  []string `yaml:"modules" json:"modules"` // kernel modules, names or directories that end in a slash
	K3s      bool     `yaml:"k3s" json:"k3s"`
}

// Base is what every slot has.
type Base struct {
	Suites   []Suite  `yaml:"suites" json:"suites"`
	Packages []string `yaml:"packages" json:"packages"`
	Modules  []string `yaml:"modules" json:"modules"`
	Ports    []Port   `yaml:"ports" json:"ports"`   // that every node listens on
	Checks   []string `yaml:"checks" json:"checks"` // of every node's health
	// Drop are packages that a dependency names and that a node without maintainer scripts, udev
	// and systemd never needs.
	Drop []string `yaml:"drop" json:"drop"`
	// Strip are path patterns that are left out of the tree; Keep are exceptions of it.
	Strip []string `yaml:"strip" json:"strip"`
	Keep  []string `yaml:"keep" json:"keep"`
}

// Suite is a part of the archive.
type Suite struct {
	Archive    string   `yaml:"archive" json:"archive"` // debian, debian-security
	Name       string   `yaml:"name" json:"name"`
	Components []string `yaml:"components" json:"components"`
}

type table struct {
	base  Base
	roles map[string]*Role
	slots map[string]*Slot
	err   error
}

var load = sync.OnceValue(func() table { return read(files) })

func read(fsys fs.FS) (t table) {
	if t.err = datafile.Decode(fsys, "images", "base.yaml", &t.base); t.err != nil {
		return t
	}
	t.slots, t.err = datafile.All(fsys, "images", "slots", func(s *Slot, name string) { s.Name = name })
	if t.err != nil {
		return t
	}
	t.roles, t.err = datafile.All(fsys, "images", ".", func(r *Role, name string) { r.Name = name }, "base")
	if t.err != nil {
		return t
	}
	for _, name := range slices.Sorted(maps.Keys(t.roles)) {
		r := t.roles[name]
		if t.slots[r.Slot] == nil {
			t.err = fmt.Errorf("images/%s.yaml: no slot %q", name, r.Slot)
			return t
		}
		if err := checks.Valid(slices.Concat(t.base.Checks, r.Health.Checks)); err != nil {
			t.err = fmt.Errorf("images/%s.yaml: %w", name, err)
			return t
		}
	}
	return t
}

// Names of all roles, sorted.
func Names() []string {
	return slices.Sorted(maps.Keys(load().roles))
}

// Get finds a role and its slot; nil for an unknown name.
func Get(name string) (*Role, *Slot, error) {
	t := load()
	if t.err != nil {
		return nil, nil, t.err
	}
	r := t.roles[name]
	if r == nil {
		return nil, nil, nil
	}
	return r, t.slots[r.Slot], nil
}

// RolesOf returns the names of the roles that share a slot, sorted.
func RolesOf(slot string) []string {
	var names []string
	for _, name := range Names() {
		if load().roles[name].Slot == slot {
			names = append(names, name)
		}
	}
	return names
}

// Slots returns the names of all slots, sorted.
func Slots() []string {
	return slices.Sorted(maps.Keys(load().slots))
}

// GetBase returns what every slot has.
func GetBase() (*Base, error) {
	t := load()
	return &t.base, t.err
}

// HealthOf returns when a node of a role is healthy: the checks of every node and its own, in the
// order of package checks.
func HealthOf(role string) (Health, error) {
	t := load()
	r := t.roles[role]
	if t.err != nil || r == nil {
		return Health{}, t.err
	}
	h := Health{Deadline: r.Health.Deadline}
	for _, c := range checks.All {
		if slices.Contains(t.base.Checks, c.Name) || slices.Contains(r.Health.Checks, c.Name) {
			h.Checks = append(h.Checks, c.Name)
		}
	}
	return h, nil
}

// Lock returns the embedded lock of a family's slot, nil if there is none.
func Lock(family, slot string) []byte {
	data, err := files.ReadFile(LockName(family, slot))
	if err != nil {
		return nil
	}
	return data
}

// LockName is the lock's path below images/.
func LockName(family, slot string) string { return "locks/" + family + "-" + slot + ".lock" }
