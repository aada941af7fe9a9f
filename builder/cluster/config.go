package cluster

import (
	"strconv"
	"strings"

	"imgbuild/builder/image"
	"imgbuild/init/contract/config"
)

// configs makes the configuration of every node and has the node's own code look at it. What that
// finds is reported at the place in cluster.yaml that it comes from.
func (r *reader) configs(c *Cluster) {
	for _, n := range c.Nodes {
		text, err := n.tree.yaml()
		if err != nil {
			r.fail(n.at, "nodes."+n.Name, "", "%v", err)
			continue
		}
		n.Config = append([]byte("# "+n.Name+", made from "+File+" by imgbuild. Change it there: imgbuild apply "+n.Name+"\n"), text...)
		problems, err := image.Validate("config.yaml", n.Config, n.Recipe)
		if err != nil {
			r.fail(n.at, "nodes."+n.Name, "", "%v", err)
			continue
		}
		for _, p := range config.Strict(problems) {
			at, ok := n.locate(p.Key)
			if r.sealed[at] {
				continue
			}
			if !ok {
				at = n.at
			}
			p.File, p.Line, p.Col, p.Message = at.file, at.line, at.col, n.Name+": "+p.Message
			if p.Severity != config.Error {
				n.Warnings = append(n.Warnings, p.String())
			}
			r.found = append(r.found, p)
		}
		if len(r.sealed) > 0 {
			n.Config = nil
		}
	}
}

// locate finds the place of a key of the node's configuration, or of what is above it. ok is false
// if nothing of it is in a file.
func (n *Node) locate(path string) (at place, ok bool) {
	v, at := n.tree, n.at
	for path != "" && v != nil {
		var e *entry
		for i := range v.keys { // a name may have a dot or a bracket in it
			if rest, found := strings.CutPrefix(path, v.keys[i].name); found && (rest == "" || rest[0] == '.' || rest[0] == '[') && (e == nil || len(v.keys[i].name) > len(e.name)) {
				e = &v.keys[i]
			}
		}
		if e == nil {
			return at, ok
		}
		at, ok, v = e.v.at, true, e.v
		path = strings.TrimPrefix(path[len(e.name):], ".")
		for strings.HasPrefix(path, "[") {
			number, rest, _ := strings.Cut(path[1:], "]")
			i, err := strconv.Atoi(number)
			if err != nil || i >= len(v.items) {
				return at, ok
			}
			v, path = v.items[i], strings.TrimPrefix(rest, ".")
			at = v.at
		}
	}
	return at, ok
}
