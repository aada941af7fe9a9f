package config

import "strings"

// Layer is the content of one source: known keys under their canonical names, with their places. It
// is never nil after Parse; a file that could not be read gives an empty one.
type Layer struct {
	Name string // as given to Parse
	// Unseen: no person writes this source: what the image sets, the kernel's
	// command line, cloud-init's files. A key that is missing is not reported there.
	Unseen bool
	root   *value // a map; nil means empty
}

// Empty reports whether the source sets nothing at all.
func (l *Layer) Empty() bool { return l == nil || l.root == nil || len(l.root.entries) == 0 }

// Has reports whether the source has the key, by canonical path ("k3os.token"); an explicit null
// counts.
func (l *Layer) Has(path string) bool {
	if l == nil {
		return false
	}
	return l.root.lookup(path) != nil
}

type kind uint8

const (
	null   kind = iota // erases what earlier sources set
	scalar             // text, in its literal form
	moved              // a secret that was blanked in its source: it keeps the value of earlier sources
	seq
	mapping
)

// value is a decoded value: the key's type has been enforced and names are canonical, so that
// merging and filling a Config need not look at the source again. Values are shared between layers
// and never changed once made.
type value struct {
	kind    kind
	at      place
	text    string // scalar
	tag     string // scalar: what YAML makes of it (!!str, !!int, ...); matters in free-form sections only
	items   []*value
	entries []entry // in the order of the file; names are unique
	reset   bool    // mapping: earlier sources are erased first (an explicit null came before it)
	odd     bool    // mapping: a key of it was unknown, or its value was left out
}

type entry struct {
	name string
	at   place // of the name
	v    *value
}

// get returns the value of a direct entry, or nil.
func (v *value) get(name string) *value {
	if v == nil {
		return nil
	}
	for _, e := range v.entries {
		if e.name == name {
			return e.v
		}
	}
	return nil
}

// lookup walks a dotted path of section names.
func (v *value) lookup(path string) *value {
	for _, n := range strings.Split(path, ".") {
		v = v.get(n)
	}
	return v
}

// add appends an entry whose name is known to be new; set would look at all others, which adds up
// in a large map.
func (v *value) add(name string, at place, x *value) {
	v.entries = append(v.entries, entry{name, at, x})
}

// set replaces or appends an entry while a mapping is being built.
func (v *value) set(name string, at place, x *value) {
	for i := range v.entries {
		if v.entries[i].name == name {
			v.entries[i] = entry{name, at, x}
			return
		}
	}
	v.entries = append(v.entries, entry{name, at, x})
}
