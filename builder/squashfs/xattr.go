package squashfs

import (
	"fmt"
	"sort"
	"strings"
)

const (
	noXattr       = ^uint32(0)
	maxXattrName  = 255     // XATTR_NAME_MAX of Linux, with the namespace
	maxXattrValue = 1 << 16 // XATTR_SIZE_MAX of Linux
)

// xattrSpaces are the namespaces of squashfs; a namespace's index is its number on disk.
var xattrSpaces = [...]string{"user.", "trusted.", "security."}

func xattrSpace(name string) (space int, rest string, ok bool) {
	for i, prefix := range xattrSpaces {
		if rest, ok := strings.CutPrefix(name, prefix); ok && rest != "" {
			return i, rest, true
		}
	}
	return 0, "", false
}

func checkXattrs(list []Xattr) error {
	seen := make(map[string]bool, len(list))
	for _, x := range list {
		if _, _, ok := xattrSpace(x.Name); !ok {
			return fmt.Errorf("extended attribute %q; squashfs stores user.*, trusted.* and security.* only", x.Name)
		}
		if len(x.Name) > maxXattrName || strings.IndexByte(x.Name, 0) >= 0 {
			return fmt.Errorf("extended attribute %q: the name has more than %d bytes or a NUL", x.Name, maxXattrName)
		}
		if len(x.Value) > maxXattrValue {
			return fmt.Errorf("extended attribute %q: value of %d bytes; at most %d are possible", x.Name, len(x.Value), maxXattrValue)
		}
		if seen[x.Name] {
			return fmt.Errorf("extended attribute %q is given twice", x.Name)
		}
		seen[x.Name] = true
	}
	return nil
}

// xattrTable holds each set of attributes once; inodes refer to a set by its index.
type xattrTable struct {
	values metadata
	ids    metadata
	index  map[string]uint32
}

// add returns the index of a set, noXattr for an empty one. The order of the set's attributes does
// not matter.
func (t *xattrTable) add(list []Xattr) uint32 {
	if len(list) == 0 {
		return noXattr
	}
	list = append([]Xattr(nil), list...)
	sort.Slice(list, func(a, b int) bool { return list[a].Name < list[b].Name })
	var data []byte
	for _, x := range list {
		space, name, _ := xattrSpace(x.Name)
		data = le.AppendUint16(data, uint16(space))
		data = le.AppendUint16(data, uint16(len(name)))
		data = append(data, name...)
		data = le.AppendUint32(data, uint32(len(x.Value)))
		data = append(data, x.Value...)
	}
	if i, ok := t.index[string(data)]; ok {
		return i
	}
	i := uint32(len(t.index))
	t.index[string(data)] = i
	id := le.AppendUint64(nil, t.values.ref())
	id = le.AppendUint32(id, uint32(len(list)))
	id = le.AppendUint32(id, uint32(len(data)))
	t.ids.write(id)
	t.values.write(data)
	return i
}

// bytes returns the whole table as it is in the image from position at on: values, ids, and at
// start the header with the list of id blocks.
func (t *xattrTable) bytes(at int64) (data []byte, start int64) {
	t.values.flush()
	t.ids.flush()
	data = append(data, t.values.out...)
	ids := at + int64(len(data))
	data = append(data, t.ids.out...)
	start = at + int64(len(data))
	data = le.AppendUint64(data, uint64(at))
	data = le.AppendUint32(data, uint32(len(t.index)))
	data = le.AppendUint32(data, 0)
	for _, block := range t.ids.blocks {
		data = le.AppendUint64(data, uint64(ids+int64(block)))
	}
	return data, start
}
