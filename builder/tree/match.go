package tree

import (
	"path"
	"strings"
)

// Patterns is a list of path patterns: those of path.Match, and a last element ** for everything
// below a directory.
type Patterns []string

// Match reports whether one of the patterns covers name.
func (p Patterns) Match(name string) bool {
	for _, pattern := range p {
		if Match(pattern, name) {
			return true
		}
	}
	return false
}

// Match reports whether a pattern covers name. A pattern that ends in /** covers everything below
// its directory, which may itself hold wildcards, but not the directory. A malformed pattern covers
// nothing.
func Match(pattern, name string) bool {
	dir, deep := strings.CutSuffix(pattern, "/**")
	if !deep {
		ok, err := path.Match(pattern, name)
		return err == nil && ok
	}
	depth := strings.Count(dir, "/") + 1
	parts := strings.SplitN(name, "/", depth+1)
	if len(parts) <= depth {
		return false
	}
	ok, err := path.Match(dir, strings.Join(parts[:depth], "/"))
	return err == nil && ok
}

// Strip drops what the patterns in drop cover, except for what keep covers and the directories
// above it. A directory that a pattern with ** empties goes too.
func (t *Tree) Strip(drop, keep Patterns) int {
	kept := map[string]bool{}
	for name, n := range t.nodes {
		if n.Kind != Dir && keep.Match(name) {
			for p := name; p != ""; p = clean(path.Dir("/" + p)) {
				kept[p] = true
			}
		}
	}
	count := t.RemoveFunc(func(n *Node) bool { return drop.Match(n.Path) && !kept[n.Path] })
	full := map[string]bool{}
	for name := range t.nodes {
		for p := clean(path.Dir("/" + name)); name != "" && p != ""; p = clean(path.Dir("/" + p)) {
			full[p] = true
		}
	}
	return count + t.RemoveFunc(func(n *Node) bool {
		return n.Kind == Dir && !full[n.Path] && drop.Match(n.Path+"/x")
	})
}
