package squashfs

import (
	"fmt"
	"sort"
	"strings"
)

const (
	maxName   = 255  // NAME_MAX of Linux; the format itself would allow 256
	maxTarget = 4095 // PATH_MAX of Linux without its NUL
	maxMajor  = 1<<12 - 1
	maxMinor  = 1<<20 - 1
)

// node is one name in a directory.
type node struct {
	name     string
	inode    *inode
	children []*node // sorted by name in byte order; of directories only
}

// inode is a file's inode. Several nodes share one when they are hard links.
type inode struct {
	entry   *Entry
	number  uint32 // from 1, in the order in which inodes are written
	links   uint32
	parent  uint32 // inode number of the parent; of directories only
	content *content
	xattr   uint32 // index in the xattr table, noXattr if none
	ref     uint64 // place in the inode table: block start << 16 | offset; valid once written
	written bool
}

// buildTree checks the entries and links them into a tree. The inodes come in the order of their
// numbers.
func buildTree(entries []Entry) (*node, []*inode, error) {
	nodes := make(map[string]*node, len(entries))
	for i := range entries {
		e := &entries[i]
		if _, twice := nodes[e.Path]; twice {
			return nil, nil, errEntry(e.Path, fmt.Errorf("path is given twice"))
		}
		n, err := newNode(e, nodes)
		if err != nil {
			return nil, nil, errEntry(e.Path, err)
		}
		nodes[e.Path] = n
	}
	root := nodes[""]
	if root == nil {
		return nil, nil, errEntry("", fmt.Errorf("missing; give an entry with an empty path"))
	}
	for i := range entries {
		path := entries[i].Path
		if path == "" {
			continue
		}
		dir := path[:max(strings.LastIndexByte(path, '/'), 0)]
		parent := nodes[dir]
		if parent == nil {
			return nil, nil, errEntry(path, fmt.Errorf("missing parent directory %q", dir))
		}
		if parent.inode.entry.Kind != Dir {
			return nil, nil, errEntry(path, fmt.Errorf("parent %q is a %v, not a directory", dir, parent.inode.entry.Kind))
		}
		parent.children = append(parent.children, nodes[path])
	}
	for _, n := range nodes {
		sort.Slice(n.children, func(a, b int) bool { return n.children[a].name < n.children[b].name })
	}
	inodes := number(root, nil)
	// The root has no parent; mksquashfs gives the number after the last one, and readers accept
	// it.
	root.inode.parent = uint32(len(inodes)) + 1
	return root, inodes, nil
}

func newNode(e *Entry, earlier map[string]*node) (*node, error) {
	name, err := baseName(e.Path)
	if err != nil {
		return nil, err
	}
	if e.HardLink != "" {
		target := earlier[e.HardLink]
		switch {
		case target == nil:
			return nil, fmt.Errorf("hard link to %q, which is not an earlier entry", e.HardLink)
		case target.inode.entry.Kind == Dir:
			return nil, fmt.Errorf("hard link to %q, which is a directory", e.HardLink)
		}
		target.inode.links++
		return &node{name: name, inode: target.inode}, nil
	}
	if err := checkEntry(e); err != nil {
		return nil, err
	}
	in := &inode{entry: e, links: 1, xattr: noXattr}
	if e.Kind == Dir {
		in.links = 2
	}
	return &node{name: name, inode: in}, nil
}

func checkEntry(e *Entry) error {
	if e.Path == "" && e.Kind != Dir {
		return fmt.Errorf("the root is a %v, not a directory", e.Kind)
	}
	if e.Mode&^07777 != 0 {
		return fmt.Errorf("mode %#o has bits beyond 07777", e.Mode)
	}
	switch e.Kind {
	case Dir, Fifo, Socket:
	case File:
		if e.Size < 0 {
			return fmt.Errorf("size %d is negative", e.Size)
		}
		if e.Size > 0 && e.Open == nil {
			return errNoContent
		}
	case Symlink:
		if len(e.Target) == 0 || len(e.Target) > maxTarget || strings.IndexByte(e.Target, 0) >= 0 {
			return fmt.Errorf("symlink target of %d bytes; it needs 1 to %d bytes without NUL", len(e.Target), maxTarget)
		}
	case Block, Char:
		if e.Major > maxMajor || e.Minor > maxMinor {
			return fmt.Errorf("device %d:%d; the largest is %d:%d", e.Major, e.Minor, maxMajor, maxMinor)
		}
	default:
		return fmt.Errorf("kind %d is unknown", e.Kind)
	}
	return checkXattrs(e.Xattrs)
}

// baseName returns the last part of a path, "" for the root.
func baseName(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	var last string
	for part := range strings.SplitSeq(path, "/") {
		switch {
		case part == "", part == ".", part == "..":
			return "", fmt.Errorf("path has the part %q; it must be relative and clean", part)
		case len(part) > maxName:
			return "", fmt.Errorf("name of %d bytes; at most %d are possible", len(part), maxName)
		case strings.IndexByte(part, 0) >= 0:
			return "", fmt.Errorf("path %q holds a NUL", path)
		}
		last = part
	}
	return last, nil
}

// number numbers the inodes under a directory in the order in which they are written:
// first what is in the subdirectories, then the directory's own entries side by side, then itself.
// Neighbours in a listing thus have neighbouring inodes, which keeps listings small.
func number(dir *node, inodes []*inode) []*inode {
	for _, c := range dir.children {
		if c.inode.entry.Kind == Dir {
			inodes = number(c, inodes)
			dir.inode.links++
		}
	}
	for _, c := range dir.children {
		if c.inode.number == 0 {
			inodes = append(inodes, c.inode)
			c.inode.number = uint32(len(inodes))
		}
	}
	inodes = append(inodes, dir.inode)
	dir.inode.number = uint32(len(inodes))
	for _, c := range dir.children {
		if c.inode.entry.Kind == Dir {
			c.inode.parent = dir.inode.number
		}
	}
	return inodes
}
