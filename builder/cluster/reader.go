package cluster

import (
	"cmp"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
)

// reader makes a cluster of a file and collects what is wrong with it.
type reader struct {
	file    string
	secrets *Secrets
	read    func(key, name string) ([]byte, error) // of files that are named in it
	found   []config.Problem
	sealed  map[place]bool // places of values that are not known, since the secrets are sealed
}

func (r *reader) fail(at place, key, fix, format string, a ...any) {
	r.found = append(r.found, config.Problem{File: at.file, Line: at.line, Col: at.col, Key: key, Severity: config.Error, Message: fmt.Sprintf(format, a...), Fix: fix})
}

// sorted are the problems by file, this one first, and line.
func (r *reader) sorted() []config.Problem {
	own := func(p config.Problem) int {
		if p.File == r.file {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(r.found, func(a, b config.Problem) int {
		return cmp.Or(own(a)-own(b), cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	return slices.Compact(r.found) // what is wrong with the defaults is wrong for each node
}

func (r *reader) failed() bool {
	return slices.ContainsFunc(r.found, func(p config.Problem) bool { return p.Severity == config.Error })
}

// The keys of a node next to those of cloud-config, which may be there directly or under config.
var nodeKeys = []string{"board", "role", "address", "gateway", "dns", "mac", "config"}

// forOne are the keys that several nodes cannot share.
var forOne = []string{"address", "mac", "hostname"}

// maxNodes is the most that one file may have: every node knows every other one.
const maxNodes = 256

var nodeName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// cluster reads the file. The result is nil after an error.
func (r *reader) cluster(data []byte) *Cluster {
	r.sealed = map[place]bool{}
	top, bad := parse(r.file, data)
	if bad != nil {
		r.fail(bad.at, "", bad.fix, "%s", bad.message)
		return nil
	}
	nodes := top.get("nodes")
	if top == nil || top.kind != yaml.MappingNode || nodes == nil || nodes.kind != yaml.MappingNode || len(nodes.keys) == 0 {
		at := place{r.file, 1, 1}
		if nodes != nil {
			at = nodes.at
		}
		r.fail(at, "nodes", "write nodes: with a line like node1: {board: rpi4, role: server, address: 192.168.1.11/24}", "the file has no nodes")
		return nil
	}
	if len(nodes.keys) > maxNodes {
		r.fail(nodes.at, "nodes", "write a file for each shelf", "there are %d nodes, more than %d", len(nodes.keys), maxNodes)
		return nil
	}
	for _, e := range top.keys {
		if e.name != "defaults" && e.name != "nodes" {
			r.unknown(e, "", []string{"defaults", "nodes"}, nil)
		}
	}
	defaults := r.part(top.get("defaults"), "defaults", true)
	c := &Cluster{File: r.file}
	for _, e := range nodes.keys {
		path := "nodes." + e.name
		switch {
		case !nodeName.MatchString(e.name):
			r.fail(e.at, path, "use small letters, digits and -, 63 at most", "%q is not a name for a node", e.name)
			continue
		case e.name == All:
			r.fail(e.at, path, "give it another name", "the name all stands for every node")
			continue
		}
		own := r.part(e.v, path, false)
		n := &Node{Name: e.name, at: e.at}
		r.head(n, merge(defaults, own))
		if n.Recipe == nil {
			continue
		}
		n.tree = merge(forRole(defaults.get("config"), config.Root(), n.Role), own.get("config")).clone()
		if n.tree == nil {
			n.tree = newMap(n.at)
		}
		c.Nodes = append(c.Nodes, n)
	}
	if !r.failed() {
		r.secretsInto(c)
	}
	if !r.failed() {
		r.derive(c)
	}
	if !r.failed() {
		r.configs(c)
	}
	if r.failed() {
		return nil
	}
	return c
}

// part reads defaults or a node: a map of nodeKeys, of which config has all of cloud-config, in
// the spelling of the table.
func (r *reader) part(v *value, path string, shared bool) *value {
	if v == nil || v.isNull() {
		return newMap(place{file: r.file})
	}
	if v.kind != yaml.MappingNode {
		r.fail(v.at, path, "write it like {board: rpi4, role: worker}", "this must be a map of keys")
		return newMap(v.at)
	}
	out, direct := newMap(v.at), newMap(v.at)
	var inner *value
	for _, e := range v.keys {
		switch k := config.Root().Child(e.name); {
		case shared && slices.Contains(forOne, e.name):
			r.fail(e.at, path+"."+e.name, "write it under each node", "%s cannot be the same on several nodes", e.name)
		case e.name == "config":
			inner = r.config(e.v, path)
		case slices.Contains(nodeKeys, e.name):
			out.keys = append(out.keys, e)
		case k != nil:
			direct.keys = append(direct.keys, e)
		default:
			r.unknown(e, path, nodeKeys, config.Root())
		}
	}
	all := merge(r.canonical(direct, config.Root(), path), inner)
	if shared && all.entry("hostname") != nil {
		e := all.entry("hostname")
		r.fail(e.at, path+".hostname", "remove it; each node has the name it has here", "hostname cannot be the same on several nodes")
	}
	out.keys = append(out.keys, entry{"config", all.at, all})
	return out
}

// unknown reports a key that does not exist.
func (r *reader) unknown(e entry, path string, words []string, k *config.Key) {
	fix := "the keys here are " + strings.Join(words, ", ")
	if near := config.NearestWord(e.name, words); near != "" {
		fix = "did you mean " + near + "?"
	} else if k != nil {
		if near := k.Nearest(e.name); near != "" {
			fix = "did you mean " + near + "?"
		}
	}
	r.fail(e.at, strings.TrimPrefix(path+"."+e.name, "."), fix, "there is no such key")
}

// config reads the value of config: a map, or the name of a file, next to this one, that has it.
func (r *reader) config(v *value, path string) *value {
	path += ".config"
	switch {
	case v.isNull():
		return nil
	case v.kind == yaml.MappingNode:
		return r.canonical(v, config.Root(), path)
	case v.kind != yaml.ScalarNode:
		r.fail(v.at, path, "write keys, or the name of a file", "config is a list")
		return nil
	}
	name := v.text()
	if !filepath.IsAbs(name) {
		name = filepath.Join(filepath.Dir(r.file), name)
	}
	data, err := r.read("config", name)
	if err != nil {
		what, fix := fault.Parts(err)
		r.fail(v.at, path, fix, "%s", what)
		return nil
	}
	w, bad := parse(name, data)
	switch {
	case bad != nil:
		r.fail(bad.at, path, bad.fix, "%s", bad.message)
		return nil
	case w == nil || w.isNull():
		r.fail(place{name, 1, 1}, path, "write keys into it, or remove config:", "the file has no keys")
		return nil
	case w.kind != yaml.MappingNode:
		r.fail(w.at, path, "begin with a key such as hostname:", "the file is not a map of keys")
		return nil
	}
	return r.canonical(w, config.Root(), "")
}

// canonical is a value with the keys of k as the table spells them, so that two spellings are one
// key in a merge. Keys that do not exist are errors.
func (r *reader) canonical(v *value, k *config.Key, path string) *value {
	out := &value{at: v.at, kind: v.kind, node: v.node}
	switch {
	case k.Short != "" && v.kind == yaml.ScalarNode && !v.isNull():
		out = newMap(v.at)
		out.keys = []entry{{k.Short, v.at, v}}
	case k.Type == config.Section && v.kind == yaml.MappingNode:
		for _, e := range v.keys {
			here := strings.TrimPrefix(path+"."+e.name, ".")
			child := k.Child(e.name)
			if child == nil {
				fix := "remove it, or see docs/config.md for the keys there are"
				if near := k.Nearest(e.name); near != "" {
					fix = "did you mean " + near + "?"
				}
				r.fail(e.at, here, fix, "there is no such key")
				continue
			}
			if old := out.entry(child.Name()); old != nil {
				r.fail(e.at, here, "keep one of them", "it is there twice, first in line %d", old.at.line)
				continue
			}
			out.keys = append(out.keys, entry{child.Name(), e.at, r.canonical(e.v, child, here)})
		}
	case k.Type == config.Named && v.kind == yaml.MappingNode:
		for _, e := range v.keys {
			out.keys = append(out.keys, entry{e.name, e.at, r.canonical(e.v, k.Item(), path+"."+e.name)})
		}
	case k.Type == config.Items && v.kind == yaml.MappingNode: // a list of one, as the node reads it
		out.kind, out.items = yaml.SequenceNode, []*value{r.canonical(v, k.Item(), path+"[0]")}
	case k.Type == config.Items && v.kind == yaml.SequenceNode:
		for i, item := range v.items {
			out.items = append(out.items, r.canonical(item, k.Item(), fmt.Sprintf("%s[%d]", path, i)))
		}
	default:
		out.keys, out.items = v.keys, v.items
	}
	return out
}

// forRole is a part of the defaults without keys that have no effect on a role.
func forRole(v *value, k *config.Key, role string) *value {
	if v == nil || v.kind != yaml.MappingNode || k.Type != config.Section {
		return v
	}
	out := *v
	out.keys = nil
	for _, e := range v.keys {
		child := k.Child(e.name)
		if len(child.Roles) > 0 && !slices.Contains(child.Roles, role) {
			continue
		}
		w := forRole(e.v, child, role)
		if w.kind == yaml.MappingNode && len(w.keys) == 0 && len(e.v.keys) > 0 {
			continue
		}
		out.keys = append(out.keys, entry{e.name, e.at, w})
	}
	return &out
}
