package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"imgbuild/init/contract/mask"
	"imgbuild/init/contract/yamltext"

	"gopkg.in/yaml.v3"
)

// Change is one difference between two configurations.
type Change struct {
	Path string `json:"path"`           // of the key, with indexes and names: "network.interfaces[0].gateway"
	Old  string `json:"old,omitempty"`  // as YAML on one line; empty where there was nothing
	New  string `json:"new,omitempty"`  // the same; empty where nothing is left
	When string `json:"when,omitempty"` // when it takes effect, if not immediately; the node fills it in
}

// String is the change as one line for people.
func (c Change) String() string {
	var s string
	switch {
	case c.Old == "":
		s = fmt.Sprintf("+ %s: %s", c.Path, c.New)
	case c.New == "":
		s = fmt.Sprintf("- %s: %s", c.Path, c.Old)
	default:
		s = fmt.Sprintf("~ %s: %s -> %s", c.Path, c.Old, c.New)
	}
	if c.When != "" {
		s += " (" + c.When + ")"
	}
	return s
}

// Diff returns the way from one configuration to another in the order of the key table, secrets
// masked: a change of a secret is reported, its values are not. Lists of texts are one value,
// lists of sections go item by item.
func Diff(from, to *Config) []Change {
	var out []Change
	diff(reflect.ValueOf(from).Elem(), reflect.ValueOf(to).Elem(), root(), "", &out)
	return out
}

func diff(a, b reflect.Value, k *Key, path string, out *[]Change) {
	switch k.Type {
	case Section:
		for _, c := range k.children {
			diff(field(a, c.name), field(b, c.name), c, join(path, c.name), out)
		}
	case Items:
		section := *k
		section.Type = Section
		for i := range max(a.Len(), b.Len()) {
			item := func(l reflect.Value) reflect.Value {
				if i < l.Len() {
					return l.Index(i)
				}
				return reflect.Zero(l.Type().Elem())
			}
			diff(item(a), item(b), &section, index(path, i), out)
		}
	case Named:
		section := *k
		section.Type = Section
		for _, name := range keysOf(a, b) {
			item := func(m reflect.Value) reflect.Value {
				if v := m.MapIndex(reflect.ValueOf(name)); v.IsValid() {
					return v
				}
				return reflect.Zero(m.Type().Elem())
			}
			diff(item(a), item(b), &section, join(path, name), out)
		}
	case TextMap:
		for _, name := range keysOf(a, b) {
			text := func(m reflect.Value) string {
				if v := m.MapIndex(reflect.ValueOf(name)); v.IsValid() {
					return v.String()
				}
				return ""
			}
			change(text(a), text(b), k.Secret || mask.Name(name), join(path, name), out)
		}
	default:
		change(plainText(a), plainText(b), k.Secret || k.Path == "write_files.content", path, out) // a file may be a key
	}
}

// keysOf returns the names in either of two maps, sorted.
func keysOf(maps ...reflect.Value) []string {
	var names []string
	for _, m := range maps {
		for _, k := range m.MapKeys() {
			names = append(names, k.String())
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func change(a, b string, secret bool, path string, out *[]Change) {
	if a == b {
		return
	}
	if secret {
		hide := func(s string) string {
			if s == "" {
				return ""
			}
			return mask.Stars
		}
		a, b = hide(a), hide(b)
	}
	*out = append(*out, Change{Path: path, Old: shortened(a), New: shortened(b)})
}

// longest is how many bytes of a value are shown.
const longest = 120

func shortened(s string) string {
	if len(s) <= longest {
		return s
	}
	return strings.ToValidUTF8(s[:longest], "") + "..."
}

// plainText is a value on one line; that of a key that is not set is empty.
func plainText(v reflect.Value) string {
	if v.IsZero() {
		return ""
	}
	if d, ok := v.Interface().(time.Duration); ok {
		return d.String()
	}
	if v.Kind() == reflect.String {
		if s := v.String(); !strings.ContainsAny(s, "\n") {
			return s
		}
	}
	n, err := yamltext.Node(v.Interface())
	if err != nil {
		return fmt.Sprint(v.Interface())
	}
	n.Style |= yaml.FlowStyle
	text, err := yamltext.Marshal(n)
	if err != nil {
		return fmt.Sprint(v.Interface())
	}
	return strings.Join(strings.Fields(string(text)), " ")
}

// Plan is a node's answer to a configuration that it is given.
type Plan struct {
	Hostname string   `json:"hostname"`
	Role     string   `json:"role"`
	Board    string   `json:"board"`
	Problems []string `json:"problems,omitempty"`
	Changes  []Change `json:"changes,omitempty"`
	Try      int      `json:"try,omitempty"`   // seconds until it is taken back unless somebody confirms it; 0: it stays
	Trial    uint64   `json:"trial,omitempty"` // its number, which a confirmation may name
}

// When returns the time at which a change of a key takes effect on a running node; "" is
// immediately. path is a Change's.
func When(path string) string {
	in := func(list ...string) bool {
		return slices.ContainsFunc(list, func(p string) bool {
			return path == p || strings.HasPrefix(path, p+".") || strings.HasPrefix(path, p+"[")
		})
	}
	switch {
	case in("hostname", "init_cmd", "boot_cmd", "run_cmd", "shelf", "data"):
		return "at the next boot"
	case in("k3os.server_url", "k3os.token", "k3os.labels", "k3os.taints", "k3os.k3s_args", "k3os.environment"):
		return "when k3s starts again: shelf restart k3s, or the next boot"
	case in("k3os.install"):
		return "never: imgbuild writes whole images"
	}
	return ""
}
