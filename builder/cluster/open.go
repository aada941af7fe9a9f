package cluster

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"imgbuild/init/contract/fault"
)

// Open reads cluster.yaml in a directory with its secrets. Both are nil without an error where
// there is no such file. See OpenSecrets for word.
func Open(dir string, word func() (string, error)) (*Cluster, *Secrets, error) {
	file := filepath.Join(dir, File)
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	s, err := OpenSecrets(filepath.Join(dir, SecretsFile), word)
	if err != nil {
		return nil, nil, err
	}
	c, err := Read(file, s)
	return c, s, err
}

// Nodes are those that words of a command line name, with their configurations: All or names of
// nodes of cluster.yaml in a directory. word must give what opens the secrets.
func Nodes(dir string, words []string, word func() (string, error)) (*Cluster, []*Node, *Secrets, error) {
	c, s, err := Open(dir, word)
	switch {
	case err != nil:
		return nil, nil, nil, err
	case c == nil:
		return nil, nil, nil, fault.New(fault.Input, "make it with `imgbuild new cluster`, or change to its directory", "there is no %s here that has the node %s", File, words[0])
	case s.Sealed():
		return nil, nil, nil, fault.New(fault.Usage, "set IMGBUILD_PASSPHRASE", "%s is encrypted, and there is nobody to ask for its passphrase", s.File)
	}
	nodes, err := c.Find(words...)
	return c, nodes, s, err
}

// Means reports whether a word that may be a file is the name of a node: cluster.yaml is in the
// directory, and a file of that name is not.
func Means(dir, word string) bool {
	return !strings.ContainsAny(word, "./") && exists(filepath.Join(dir, File)) && !exists(filepath.Join(dir, word))
}

// Hosts replaces names of nodes, and All, by where the nodes are; other words are hosts and stay.
// known is the file with the nodes' host keys; empty if there is none, or a word is not a node's.
// Nothing secret is needed.
func Hosts(dir string, words []string) (hosts []string, known string, err error) {
	c, _, err := Open(dir, nil)
	if err != nil {
		if slices.ContainsFunc(words, func(w string) bool { return !strings.ContainsAny(w, ".:") }) {
			return nil, "", err
		}
		return words, "", nil
	}
	if c == nil {
		if slices.Contains(words, All) {
			return nil, "", fault.New(fault.Input, "make it with `imgbuild new cluster`, or change to its directory", "there is no %s here that names all nodes", File)
		}
		return words, "", nil
	}
	if slices.Contains(words, All) {
		nodes, err := c.Find(words...)
		if err != nil {
			return nil, "", err
		}
		for _, n := range nodes {
			hosts = append(hosts, n.Host())
		}
	} else {
		mixed := false
		for _, w := range words {
			user, name := "", w
			if at := strings.LastIndexByte(w, '@'); at >= 0 {
				user, name = w[:at+1], w[at+1:]
			}
			if n := c.Node(name); n != nil {
				w = user + n.Host()
			} else {
				mixed = true
			}
			hosts = append(hosts, w)
		}
		if mixed {
			return hosts, "", nil
		}
	}
	if file := filepath.Join(dir, KnownHosts); exists(file) {
		known = file
	}
	return hosts, known, nil
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// Group are nodes that the same image is for.
type Group struct {
	Board, Role string
	Nodes       []*Node
}

// Groups puts nodes together that the same image is for, in the order of the first of each. Groups
// whose slot is the same follow each other, so that a build finds it in the cache.
func Groups(nodes []*Node) []Group {
	var out []Group
	for _, n := range nodes {
		i := slices.IndexFunc(out, func(g Group) bool { return g.Board == n.Board && g.Role == n.Role })
		if i < 0 {
			out = append(out, Group{Board: n.Board, Role: n.Role})
			i = len(out) - 1
		}
		out[i].Nodes = append(out[i].Nodes, n)
	}
	slices.SortStableFunc(out, func(a, b Group) int { return strings.Compare(a.slot(), b.slot()) })
	return out
}

// Names are those of the nodes.
func (g Group) Names() (names []string) {
	for _, n := range g.Nodes {
		names = append(names, n.Name)
	}
	return names
}

// slot names what the group's images share with others.
func (g Group) slot() string {
	r := g.Nodes[0].Recipe
	return r.Family.Name + " " + r.Slot.Name
}
