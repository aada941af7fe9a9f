// Package cluster reads cluster.yaml: the nodes of a shelf, what they share and what each has of
// its own. It makes of it the configuration of every node, with what follows from the other nodes
// filled in. Secrets come from another file of the same shape, see Secrets.
package cluster

import (
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"imgbuild/builder/recipe"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/userfile"
)

// The files, in the directory where imgbuild runs.
const (
	File        = "cluster.yaml"
	SecretsFile = "cluster.secrets.yaml"
)

// All is the word for every node; no node may have it as its name.
const All = "all"

// Cluster is a file that was read.
type Cluster struct {
	File  string
	Nodes []*Node // in the order of the file
}

// Node is one of its nodes.
type Node struct {
	Name, Board, Role string
	Address           netip.Prefix // the zero value without one: the node asks DHCP
	Gateway           netip.Addr
	MAC               string
	Recipe            *recipe.Asked
	Config            []byte // its config.yaml; nil where secrets are sealed
	Warnings          []string

	at   place
	dns  *value
	tree *value // its configuration
	c    *config.Config
}

// Host is where the node is looked for: its address, else its name in mDNS.
func (n *Node) Host() string {
	if n.Address.IsValid() {
		return n.Address.Addr().String()
	}
	return n.Name + ".local"
}

// Names are those under which ssh may know the node.
func (n *Node) Names() []string {
	names := []string{n.Name, n.Name + ".local"}
	if n.Address.IsValid() {
		names = append(names, n.Host())
	}
	return names
}

// K3s reports whether the node runs k3s.
func (n *Node) K3s() bool { return n.Recipe.Slot.K3s }

// IsFile reports whether a file is one of nodes, by its name or what it holds.
func IsFile(name string, data []byte) bool {
	if filepath.Base(name) == File {
		return true
	}
	v, bad := parse(name, data)
	return bad == nil && v != nil && v.get("nodes") != nil
}

// Read reads a file with the secrets that belong to it: nil for none. Where they are sealed what
// they hold is not checked, and no node has a configuration. The error is of kind Input and lists
// what is wrong.
func Read(file string, secrets *Secrets) (*Cluster, error) {
	c, problems, err := Check(file, secrets)
	if err != nil {
		return nil, err
	}
	var bad []string
	for _, p := range problems {
		if p.Severity == config.Error {
			bad = append(bad, p.String())
		}
	}
	if bad != nil {
		return nil, fault.New(fault.Input, "correct it; `imgbuild validate "+filepath.Base(file)+"` shows the same list", "%s cannot be used:\n  %s", file, strings.Join(bad, "\n  "))
	}
	return c, nil
}

// Check is Read that returns all problems, in the order of the file. The cluster is nil if a
// problem is an error. err is of a file that cannot be read at all.
func Check(file string, secrets *Secrets) (*Cluster, []config.Problem, error) {
	data, err := userfile.Read("", file)
	if err != nil {
		return nil, nil, err
	}
	r := &reader{file: file, secrets: secrets, read: userfile.Read}
	return r.cluster(data), r.sorted(), nil
}

// Find returns the nodes of these names, in the order of the file and each once; All stands for
// every node.
func (c *Cluster) Find(names ...string) ([]*Node, error) {
	if slices.Contains(names, All) {
		if len(names) > 1 {
			return nil, fault.New(fault.Usage, "leave the names out", "all is every node already")
		}
		return c.Nodes, nil
	}
	var known []string
	for _, n := range c.Nodes {
		known = append(known, n.Name)
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			fix := "its nodes are " + strings.Join(known, ", ")
			if near := config.NearestWord(name, known); near != "" {
				fix = "did you mean " + near + "?"
			}
			return nil, fault.New(fault.Usage, fix, "%s has no node %q", c.File, name)
		}
	}
	var out []*Node
	for _, n := range c.Nodes {
		if slices.Contains(names, n.Name) {
			out = append(out, n)
		}
	}
	return out, nil
}

// Node returns the node of a name; nil if there is none.
func (c *Cluster) Node(name string) *Node {
	for _, n := range c.Nodes {
		if n.Name == name {
			return n
		}
	}
	return nil
}

// Networks are those that the nodes have addresses in, sorted.
func (c *Cluster) networks() []netip.Prefix {
	var out []netip.Prefix
	for _, n := range c.Nodes {
		if n.Address.IsValid() && !slices.Contains(out, n.Address.Masked()) {
			out = append(out, n.Address.Masked())
		}
	}
	slices.SortFunc(out, func(a, b netip.Prefix) int { return a.Compare(b) })
	return out
}

// place is where something is in a file; the zero value is nowhere.
type place struct {
	file      string
	line, col int
}
