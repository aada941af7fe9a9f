package fat

import (
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf16"
)

const (
	entrySize   = 32
	unitsInLong = 13 // UTF-16 units in one entry of a long name
	maxEntries  = 65536

	attrLabel   = 0x08
	attrDir     = 0x10
	attrArchive = 0x20
	attrLong    = 0x0F
)

// date is 1980-01-01 in a directory entry; the time of day is 0.
const date = 1<<5 | 1

// node is a file or a directory with its place.
type node struct {
	parent       *dir
	name         string
	short        shortName
	file         *File // nil for a directory
	first, count uint32
}

// dir is a directory. The root's parent is nil and its name empty.
type dir struct {
	*node
	label    bool // the root: a volume label entry comes first
	children []*node
	byName   map[string]*node // by fold
	sub      map[string]*dir  // by exact name
}

func (n *node) path() string {
	if n.parent == nil {
		return "the root directory"
	}
	if n.parent.parent == nil {
		return n.name
	}
	return n.parent.path() + "/" + n.name
}

// build makes the tree out of the paths and assigns a short name to every name.
func (l *layout) build() error {
	root := newDir(&node{})
	root.label = l.v.Label != ""
	l.dirs = []*dir{root}
	for i := range l.v.Files {
		f := &l.v.Files[i]
		if f.Size < 0 || f.Size >= 1<<32 {
			return fmt.Errorf("FAT: %s has %d bytes; a file ends below 4 GiB", f.Path, f.Size)
		}
		d, parts := root, strings.Split(f.Path, "/")
		for _, name := range parts[:len(parts)-1] {
			sub, ok := d.sub[name]
			if !ok {
				n, err := d.add(name, nil, f.Path)
				if err != nil {
					return err
				}
				sub = newDir(n)
				d.sub[name] = sub
				l.dirs = append(l.dirs, sub)
			}
			d = sub
		}
		n, err := d.add(parts[len(parts)-1], f, f.Path)
		if err != nil {
			return err
		}
		l.files = append(l.files, n)
	}
	for _, d := range l.dirs {
		if err := d.nameShort(); err != nil {
			return err
		}
		if d.entries() > maxEntries {
			return fmt.Errorf("FAT: %s has too many names: %d entries, %d are the limit", d.path(), d.entries(), maxEntries)
		}
	}
	return nil
}

func newDir(n *node) *dir {
	return &dir{node: n, byName: map[string]*node{}, sub: map[string]*dir{}}
}

func (d *dir) add(name string, f *File, path string) (*node, error) {
	if err := checkName(name); err != nil {
		return nil, fmt.Errorf("FAT path %q: %w", path, err)
	}
	if other := d.byName[fold(name)]; other != nil {
		return nil, fmt.Errorf("FAT path %q: %q is there already, and case does not count", path, other.path())
	}
	n := &node{parent: d, name: name, file: f}
	d.byName[fold(name)] = n
	d.children = append(d.children, n)
	return n, nil
}

// nameShort assigns exact short names first, so that a numbered one never takes the name of another
// file.
func (d *dir) nameShort() error {
	taken := map[shortName]bool{}
	for _, n := range d.children {
		if s, ok := exactShort(n.name); ok {
			n.short = s
			taken[s] = true
		}
	}
	tried := map[shortName]int{} // how far the numbers of a stem are used up, keyed by its first name
	for _, n := range d.children {
		if n.short != (shortName{}) {
			continue
		}
		stem := tailShort(n.name, 1)
		for i := tried[stem] + 1; ; i++ {
			if i > 999999 {
				return fmt.Errorf("FAT path %q: no short name is left", n.path())
			}
			if s := tailShort(n.name, i); !taken[s] {
				n.short = s
				taken[s] = true
				tried[stem] = i
				break
			}
		}
	}
	return nil
}

func (d *dir) entries() int {
	count := 2 // . and ..
	if d.parent == nil {
		count = 0
		if d.label {
			count = 1
		}
	}
	for _, n := range d.children {
		count++
		if needsLong(n.name) {
			count += (len(utf16.Encode([]rune(n.name))) + unitsInLong - 1) / unitsInLong
		}
	}
	return count
}

// bytes of the directory, at least one entry so that the root has a cluster.
func (d *dir) bytes() int64 { return int64(max(d.entries(), 1)) * entrySize }

// marshal returns the directory's entries; places are known by now.
func (d *dir) marshal(label [11]byte) []byte {
	var b []byte
	if d.label {
		b = append(b, entry(shortName(label), attrLabel, 0, 0)...)
	}
	if d.parent != nil {
		up := d.parent.first
		if d.parent.parent == nil {
			up = 0 // the root is cluster 0 in "..", whatever it is in truth
		}
		b = append(b, entry(shortName([]byte(".          ")), attrDir, d.first, 0)...)
		b = append(b, entry(shortName([]byte("..         ")), attrDir, up, 0)...)
	}
	for _, n := range d.children {
		if needsLong(n.name) {
			b = appendLong(b, n.name, n.short.checksum())
		}
		if n.file == nil {
			b = append(b, entry(n.short, attrDir, n.first, 0)...)
		} else {
			b = append(b, entry(n.short, attrArchive, n.first, uint32(n.file.Size))...)
		}
	}
	return b
}

func entry(s shortName, attr byte, first, size uint32) []byte {
	b := make([]byte, entrySize)
	copy(b, s[:])
	b[11] = attr
	le := binary.LittleEndian
	le.PutUint16(b[22+2:], date) // modified
	if attr != attrLabel {
		le.PutUint16(b[16:], date) // created
		le.PutUint16(b[18:], date) // read
	}
	le.PutUint16(b[20:], uint16(first>>16))
	le.PutUint16(b[26:], uint16(first))
	le.PutUint32(b[28:], size)
	return b
}

// appendLong writes a long name: entries of 13 units, the last one first, ended by 0 and filled
// with FFFF.
func appendLong(b []byte, name string, sum byte) []byte {
	units := utf16.Encode([]rune(name))
	count := (len(units) + unitsInLong - 1) / unitsInLong
	if len(units)%unitsInLong != 0 {
		units = append(units, 0)
	}
	for len(units) < count*unitsInLong {
		units = append(units, 0xFFFF)
	}
	places := [unitsInLong]int{1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30}
	for i := count; i >= 1; i-- {
		e := make([]byte, entrySize)
		e[0] = byte(i)
		if i == count {
			e[0] |= 0x40
		}
		e[11], e[13] = attrLong, sum
		for k, at := range places {
			binary.LittleEndian.PutUint16(e[at:], units[(i-1)*unitsInLong+k])
		}
		b = append(b, e...)
	}
	return b
}
