package config

import (
	"fmt"
	"strings"
	"sync"
)

// Type is the shape of a key's value.
type Type uint8

// The shapes. Text keeps the literal text of the file, whatever YAML would make of it.
const (
	Text    Type = iota // one text
	Bool                // true or false
	Int                 // a whole number
	Texts               // a list of texts
	TextMap             // names and texts
	Section             // a fixed set of keys, which are in the table below it
	Items               // a list of sections
	Named               // a map from free names to sections
	Free                // anything; its form is not decided yet and it is not checked
)

var typeNames = [...]string{"text", "true or false", "number", "list of texts", "map of texts", "section",
	"list of sections", "named sections", "free form"}

// String names the shape as the reference page does.
func (t Type) String() string { return typeNames[t] }

// Form is the syntax inside a text; it decides how a scalar is split into a list and what Check
// accepts.
type Form uint8

// The forms.
const (
	Plain    Form = iota
	Keys          // ssh keys: several in one text are taken apart
	Words         // a command line: one text is split like a shell would
	Shell         // a command: one text becomes sh -c TEXT
	Hosts         // names or addresses: one text is split at commas and spaces
	Mode          // octal permissions
	Duration      // 30s, 5m; a bare number counts seconds
	Size          // 64M, 1G: bytes
	AutoSize      // the same, or auto, or off
	Address       // an IP address
	Prefix        // an IP address with a prefix length
	Own           // the same, of a machine
	MAC           // a hardware address
	Country       // two letters of ISO 3166
)

// When a key takes effect.
const (
	AtBuild   = "build"   // when imgbuild makes or writes the image
	AtBoot    = "boot"    // step config, before there is a network
	AtNetwork = "network" // step network
	AtRun     = "run"     // step services, with a network or after waiting for one
)

// Key is one row of the key table: the only description of a key. Decoding, JSON Schema and the
// reference page come from it.
type Key struct {
	Path    string // dotted and canonical, "k3os.wifi.name"; items and names of maps add no component
	Type    Type
	Form    Form
	Doc     string   // one sentence
	Default string   // YAML; set when no source has the key
	Unset   string   // what happens without the key, where that is not a value
	Example string   // YAML; decodes without a problem
	Phase   string   // AtBuild, AtBoot, AtNetwork, AtRun
	Roles   []string // the roles on which it has an effect; empty means all
	Values  []string // the only values; empty means any
	Min     int      // the least value of an Int
	Max     int      // the largest value of an Int; 0: neither is checked
	Aliases []string // other names that are accepted
	Secret  bool     // moved off the boot partition at import
	Planned bool     // read and checked, but nothing acts on it yet
	Short   string   // of a Section: the key below it that a text in the place of the section sets; empty: none

	name     string // last component of Path
	children []*Key
	spelling map[string]*Key // children by folded spelling
}

// Table returns every key in the order of the reference page. The caller must not change it.
func Table() []*Key { return keyTable().rows }

// root is the section that holds the top-level keys.
func root() *Key { return keyTable().root }

type keyTree struct {
	rows []*Key
	root *Key
}

// keyTable links the rows to a tree. It is made when the first configuration is read, and not when
// the program starts: every `shelf` on the node is this program too.
var keyTable = sync.OnceValue(func() keyTree {
	all := rows()
	t := keyTree{root: &Key{Type: Section, spelling: map[string]*Key{}}}
	byPath := map[string]*Key{"": t.root}
	for i := range all {
		k := &all[i]
		parent := ""
		k.name = k.Path
		if dot := strings.LastIndexByte(k.Path, '.'); dot >= 0 {
			parent, k.name = k.Path[:dot], k.Path[dot+1:]
		}
		up := byPath[parent]
		if up == nil || byPath[k.Path] != nil {
			panic(fmt.Sprintf("config: row %q has no parent above it, or is there twice", k.Path))
		}
		k.spelling = map[string]*Key{}
		up.children = append(up.children, k)
		for _, s := range spellings(k) {
			if other := up.spelling[s]; other != nil && other != k {
				panic(fmt.Sprintf("config: %q and %q can both be written %q", k.Path, other.Path, s))
			}
			up.spelling[s] = k
		}
		byPath[k.Path] = k
		t.rows = append(t.rows, k)
	}
	return t
})
