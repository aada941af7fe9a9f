package ext4

import (
	"fmt"
	"strings"
)

// Inodes with a fixed number.
const (
	rootInode    = 2
	resizeInode  = 7
	journalInode = 8
	firstInode   = 11 // lost+found
)

const (
	maxName   = 255
	maxTarget = BlockSize - 1
	fastLink  = 60 // a target shorter than this is in the inode
	maxLinks  = 65000
)

// node is an entry with its inode and its blocks.
type node struct {
	Entry
	inode    uint32
	parent   *node
	children []called
	byName   map[string]*node
	subdirs  int
	data     []byte // content of a directory, or of a link that does not fit into its inode; whole blocks
	extents  []extent
	leaves   []int64 // blocks that hold the extents, if the inode cannot
	blocks   int64   // all of them
	more     int     // further names of a file
}

// build makes the tree, numbers the inodes and writes the directories.
func (fs *filesystem) build(entries []Entry) error {
	root := &node{Entry: Entry{Kind: Dir, Mode: 0o755}, inode: rootInode, byName: map[string]*node{}}
	root.parent = root
	lost := &node{Entry: Entry{Path: "lost+found", Kind: Dir, Mode: 0o700}, inode: firstInode}
	root.add(lost, "lost+found")
	fs.nodes = []*node{root, lost}
	fs.last = firstInode
	fs.journal = &node{Entry: Entry{Path: "the journal", Kind: File, Mode: 0o600, Size: fs.o.Journal}, inode: journalInode}
	dirs, files := map[string]*node{"": root, "lost+found": lost}, map[string]*node{}
	for _, e := range entries {
		if err := e.check(); err != nil {
			return fmt.Errorf("ext4: %q: %w", e.Path, err)
		}
		if n := dirs[e.Path]; n != nil && n.inode <= firstInode && e.Kind == Dir {
			n.Entry = e
			continue
		}
		at := strings.LastIndexByte(e.Path, '/')
		name := e.Path[at+1:]
		parent := dirs[e.Path[:max(at, 0)]]
		if parent == nil {
			return fmt.Errorf("ext4: %q: its directory is not among the entries before it", e.Path)
		}
		if err := checkName(name); err != nil {
			return fmt.Errorf("ext4: %q: %w", e.Path, err)
		}
		if parent.byName[name] != nil {
			return fmt.Errorf("ext4: %q: is there already", e.Path)
		}
		if e.Kind == HardLink {
			n := files[e.Target]
			if n == nil || n.more+1 >= maxLinks {
				return fmt.Errorf("ext4: %q: %q is not a file among the entries before it, or has too many names", e.Path, e.Target)
			}
			n.more++
			parent.hang(n, name)
			continue
		}
		fs.last++
		if int64(fs.last) > int64(fs.groups)*inodesPerGroup {
			return fmt.Errorf("ext4: the file system of %d bytes is %w: %q has no inode, there are %d",
				fs.o.Size, ErrFull, e.Path, int64(fs.groups)*inodesPerGroup)
		}
		n := &node{Entry: e, inode: fs.last}
		parent.add(n, name)
		fs.nodes = append(fs.nodes, n)
		switch e.Kind {
		case Dir:
			dirs[e.Path] = n
		case File:
			files[e.Path] = n
		case Symlink:
			if len(e.Target) >= fastLink {
				n.data = make([]byte, BlockSize)
				copy(n.data, e.Target)
			}
		}
	}
	for _, n := range fs.nodes {
		if n.Kind == Dir {
			n.data = fs.directory(n)
		}
	}
	return nil
}

// called is a name in a directory and what it names.
type called struct {
	name string
	*node
}

func (n *node) hang(child *node, name string) {
	n.children = append(n.children, called{name, child})
	n.byName[name] = child
}

func (n *node) add(child *node, name string) {
	child.parent = n
	n.hang(child, name)
	if child.Kind == Dir {
		child.byName = map[string]*node{}
		n.subdirs++
	}
}

func (e Entry) check() error {
	switch {
	case e.Kind < Dir || e.Kind > HardLink:
		return fmt.Errorf("kind %d is not one", e.Kind)
	case strings.HasPrefix(e.Path, "/"):
		return fmt.Errorf("a path begins without a slash")
	case e.Path == "" && e.Kind != Dir:
		return fmt.Errorf("the root is a directory")
	case e.Mode > 0o7777:
		return fmt.Errorf("mode %o has more than permissions", e.Mode)
	case e.Kind == File && (e.Size < 0 || e.Size > 0 && e.Open == nil):
		return fmt.Errorf("a file of %d bytes without content", e.Size)
	case e.Kind == Symlink && (e.Target == "" || len(e.Target) > maxTarget || strings.IndexByte(e.Target, 0) >= 0):
		return fmt.Errorf("a link needs a target of 1 to %d bytes without NUL, it has %d", maxTarget, len(e.Target))
	}
	return nil
}

func checkName(name string) error {
	switch {
	case name == "" || name == "." || name == "..":
		return fmt.Errorf("%q is not a name", name)
	case len(name) > maxName:
		return fmt.Errorf("the name is longer than %d bytes", maxName)
	case strings.IndexByte(name, 0) >= 0:
		return fmt.Errorf("the name has a NUL in it")
	}
	return nil
}

// links of the inode. A directory with too many subdirectories to count has 1 (dir_nlink).
func (n *node) links() int {
	if n.Kind != Dir {
		return 1 + n.more
	}
	if n.subdirs+2 >= maxLinks {
		return 1
	}
	return n.subdirs + 2
}
