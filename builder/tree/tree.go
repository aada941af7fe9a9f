// Package tree is a root file system as a value: paths with modes, owners, links, devices and
// attributes in memory, file contents by reference. Packages stream into it, overlays go on top,
// patterns are dropped, and a format writer reads it in sorted order. Nothing is unpacked to disk,
// so nothing needs root and nothing depends on the host's umask or users.
package tree

import (
	"bytes"
	"fmt"
	"io"
	"path"
	"sort"
	"strings"
)

// Kind is a file's type.
type Kind uint8

// The kinds of nodes.
const (
	Dir Kind = iota
	File
	Symlink
	Block
	Char
	Fifo
	Socket
)

func (k Kind) String() string {
	return [...]string{"directory", "file", "symlink", "block device", "character device", "fifo", "socket"}[k]
}

// Node is one path of the tree.
type Node struct {
	Path         string // without a leading slash; "" is the root
	Kind         Kind
	Mode         uint16 // permissions with setuid, setgid and sticky bit: 07777
	UID, GID     uint32
	MTime        uint32 // seconds since 1970
	Target       string // of a symlink
	Major, Minor uint32 // of a device
	Xattrs       map[string][]byte
	HardLink     string // path of the file that this is another name of; Content is empty then
	Content      Content
	Origin       string // the package or overlay it came from, for messages
}

// Content is a file's bytes by reference: Open may be called often and concurrently.
type Content struct {
	Size int64
	Open func() (io.ReadCloser, error)
}

// Bytes is content that is held in memory.
func Bytes(b []byte) Content {
	return Content{Size: int64(len(b)), Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }}
}

// Section is a range of a larger file.
func Section(r io.ReaderAt, off, size int64) Content {
	return Content{Size: size, Open: func() (io.ReadCloser, error) { return io.NopCloser(io.NewSectionReader(r, off, size)), nil }}
}

// ReadAll returns the content's bytes.
func (c Content) ReadAll() ([]byte, error) {
	if c.Open == nil {
		return nil, nil
	}
	r, err := c.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b := make([]byte, c.Size)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, err
	}
	return b, nil
}

// Tree is a set of nodes with unique paths, in which every parent is a directory.
type Tree struct {
	nodes map[string]*Node
}

// New is a tree that holds its root directory.
func New() *Tree {
	return &Tree{nodes: map[string]*Node{"": {Kind: Dir, Mode: 0o755}}}
}

// Lookup finds a node; nil if there is none. Symlinks are not followed.
func (t *Tree) Lookup(name string) *Node { return t.nodes[clean(name)] }

// Size is the sum of all file contents, hard links counted once.
func (t *Tree) Size() (sum int64) {
	for _, n := range t.nodes {
		sum += n.Content.Size
	}
	return sum
}

func clean(name string) string { return strings.TrimPrefix(path.Clean("/"+name), "/") }

// Put adds a node or replaces what is at its path, and makes missing parents (0755 root). Parents
// that are symlinks are followed inside the tree, as a kernel would. A directory takes the place of
// a directory and keeps what is in it; otherwise a directory and something else at one path are an
// error that names both origins.
func (t *Tree) Put(n *Node) error {
	name, err := t.resolveParent(clean(n.Path), 0)
	if err != nil {
		return fmt.Errorf("%s: %w", n.Origin, err)
	}
	n.Path = name
	old := t.nodes[name]
	if old != nil && (old.Kind == Dir) != (n.Kind == Dir) {
		// A package's directory where there is a link to a directory (usr-merge, /var/run) keeps
		// the link.
		if n.Kind == Dir && old.Kind == Symlink {
			return nil
		}
		return fmt.Errorf("%s brings the %s %s, which is a %s of %s", n.Origin, n.Kind, name, old.Kind, old.Origin)
	}
	if name != "" {
		if err := t.parents(name, n); err != nil {
			return err
		}
	}
	t.nodes[name] = n
	return nil
}

func (t *Tree) parents(name string, n *Node) error {
	dir := clean(path.Dir("/" + name))
	p := t.nodes[dir]
	if p == nil {
		return t.Put(&Node{Path: dir, Kind: Dir, Mode: 0o755, MTime: n.MTime, Origin: n.Origin})
	}
	if p.Kind != Dir {
		return fmt.Errorf("%s: %s is a %s of %s, no directory", n.Origin, dir, p.Kind, p.Origin)
	}
	return nil
}

func (t *Tree) resolveParent(name string, depth int) (string, error) {
	if depth > 40 {
		return "", fmt.Errorf("too many levels of links at %s", name)
	}
	parts := strings.Split(name, "/")
	for i := 1; i < len(parts); i++ {
		dir := strings.Join(parts[:i], "/")
		n := t.nodes[dir]
		if n == nil || n.Kind != Symlink {
			continue
		}
		target := n.Target
		if !strings.HasPrefix(target, "/") {
			target = path.Dir("/"+dir) + "/" + target
		}
		return t.resolveParent(clean(target+"/"+strings.Join(parts[i:], "/")), depth+1)
	}
	return name, nil
}

// Remove takes a path and everything below it out of the tree; the root stays. It returns the
// number of nodes removed.
func (t *Tree) Remove(name string) int {
	name = clean(name)
	return t.RemoveFunc(func(n *Node) bool { return n.Path == name || strings.HasPrefix(n.Path, name+"/") })
}

// RemoveFunc takes out every node that drop selects, except for the root. The caller keeps parents
// of what stays.
func (t *Tree) RemoveFunc(drop func(*Node) bool) int {
	count := 0
	for name, n := range t.nodes {
		if name != "" && drop(n) {
			delete(t.nodes, name)
			count++
		}
	}
	return count
}

// Nodes returns all nodes sorted by path, so that a parent comes before its children.
func (t *Tree) Nodes() []*Node {
	all := make([]*Node, 0, len(t.nodes))
	for _, n := range t.nodes {
		all = append(all, n)
	}
	sort.Slice(all, func(i, j int) bool { return less(all[i].Path, all[j].Path) })
	return all
}

// less sorts a directory's children right after it: the slash counts as the lowest byte.
func less(a, b string) bool {
	for i := 0; i < len(a) && i < len(b); i++ {
		if a[i] != b[i] {
			if a[i] == '/' {
				return true
			}
			if b[i] == '/' {
				return false
			}
			return a[i] < b[i]
		}
	}
	return len(a) < len(b)
}

// Check reports whether every node's parent is a directory and every hard link has its file.
func (t *Tree) Check() error {
	for _, n := range t.Nodes() {
		if n.Path == "" {
			continue
		}
		if p := t.nodes[clean(path.Dir("/"+n.Path))]; p == nil || p.Kind != Dir {
			return fmt.Errorf("%s of %s has no directory above it", n.Path, n.Origin)
		}
		if n.HardLink != "" {
			if f := t.nodes[n.HardLink]; f == nil || f.Kind != File || f.HardLink != "" {
				return fmt.Errorf("%s of %s is a hard link to %s, which is not there", n.Path, n.Origin, n.HardLink)
			}
		}
	}
	return nil
}
