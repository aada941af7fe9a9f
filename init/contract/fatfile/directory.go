package fatfile

import (
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf16"
)

const (
	entrySize  = 32
	maxEntries = 65536 // a directory may not have more
	longUnits  = 13
	longParts  = 20
)

// Attributes of an entry.
const (
	attrLabel = 0x08
	attrDir   = 0x10
	attrLong  = 0x0F
)

// entry is a directory's entry of a file.
type entry struct {
	dir   bool
	first uint32
	size  int64
}

// find walks down the path.
func (v *volume) find(path string) (entry, error) {
	at := entry{dir: true, first: v.rootFirst}
	for i, name := range strings.Split(path, "/") {
		if name == "" || name == "." || name == ".." {
			return entry{}, fmt.Errorf("path %q on a FAT volume: %q is not a name", path, name)
		}
		if !at.dir {
			return entry{}, notExist(path)
		}
		e, ok, err := v.lookup(at.first, i == 0, name)
		if err != nil {
			return entry{}, fmt.Errorf("%s: %w", path, err)
		}
		if !ok {
			return entry{}, notExist(path)
		}
		at = e
	}
	if at.dir {
		return entry{}, fmt.Errorf("%s on a FAT volume is a directory", path)
	}
	return at, nil
}

// lookup searches one directory.
func (v *volume) lookup(first uint32, root bool, want string) (found entry, ok bool, err error) {
	var long longName
	err = v.list(first, root, func(b []byte) (done bool) {
		switch {
		case b[0] == 0:
			return true
		case b[0] == 0xE5:
			long.reset()
		case b[11]&0x3F == attrLong:
			long.add(b)
		case b[11]&attrLabel != 0:
			long.reset()
		default:
			if name, valid := long.name(b[:11]); valid && strings.EqualFold(name, want) || strings.EqualFold(short(b), want) {
				found = entry{dir: b[11]&attrDir != 0, first: v.first(b), size: int64(binary.LittleEndian.Uint32(b[28:]))}
				ok = true
				return true
			}
			long.reset()
		}
		return false
	})
	return found, ok, err
}

// first returns the first cluster that a directory's entry names.
func (v *volume) first(b []byte) uint32 {
	c := uint32(binary.LittleEndian.Uint16(b[26:]))
	if v.bits == 32 {
		c |= uint32(binary.LittleEndian.Uint16(b[20:])) << 16
	}
	return c
}

// list calls each with the entries of a directory, to its end or until it returns done.
func (v *volume) list(first uint32, root bool, each func([]byte) (done bool)) error {
	buf := alignedBuffer(4096)
	left := int64(maxEntries * entrySize)
	scan := func(at, size int64) (bool, error) {
		for end := at + min(size, left); at < end; {
			b := buf[:min(int64(len(buf)), sectors(end-at))]
			if err := readFull(v.r, b, at); err != nil {
				return false, err
			}
			for k := 0; k+entrySize <= len(b) && at < end; k += entrySize {
				if each(b[k : k+entrySize]) {
					return true, nil
				}
				at, left = at+entrySize, left-entrySize
			}
		}
		return false, nil
	}
	if root && v.bits != 32 {
		_, err := scan(v.root.Offset, v.root.Size)
		return err
	}
	for c := first; v.valid(c); {
		if done, err := scan(v.offset(c), v.cluster); done || err != nil {
			return err
		}
		if left == 0 {
			return damaged("a directory has more than %d entries", maxEntries)
		}
		next, err := v.next(c)
		if err != nil {
			return err
		}
		if c = next; !v.valid(c) && c < v.endMark() {
			return damaged("the chain of a directory breaks off at cluster %#x", c)
		}
	}
	if !v.valid(first) {
		return damaged("a directory begins at cluster %#x", first)
	}
	return nil
}

// endMark is the least value that ends a chain.
func (v *volume) endMark() uint32 {
	return map[int]uint32{12: 0xFF8, 16: 0xFFF8, 32: 0x0FFFFFF8}[v.bits]
}

// short returns a short name as one writes it, in upper case. Letters beyond ASCII stay bytes of an
// unknown code page.
func short(b []byte) string {
	base, ext := strings.TrimRight(string(b[:8]), " "), strings.TrimRight(string(b[8:11]), " ")
	if b[0] == 0x05 { // the way to write a first byte E5
		base = "\xE5" + base[1:]
	}
	if ext == "" {
		return base
	}
	return base + "." + ext
}

// longName collects the entries of a long name, which come last part first, just before the short
// entry.
type longName struct {
	units [longParts * longUnits]uint16
	next  int // number of the part that must follow; 0 = the name is whole
	parts int // 0 = there is none
	sum   byte
}

func (l *longName) reset() { l.parts = 0 }

func (l *longName) add(b []byte) {
	number := int(b[0] & 0x3F)
	switch {
	case number == 0 || number > longParts:
		l.reset()
		return
	case b[0]&0x40 != 0:
		l.parts, l.sum = number, b[13]
	case l.parts == 0 || number != l.next || b[13] != l.sum:
		l.reset()
		return
	}
	l.next = number - 1
	part := l.units[(number-1)*longUnits:]
	for i, at := range [longUnits]int{1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30} {
		part[i] = binary.LittleEndian.Uint16(b[at:])
	}
}

// name returns the long name, if it is whole and belongs to this short name.
func (l *longName) name(short []byte) (string, bool) {
	if l.parts == 0 || l.next != 0 {
		return "", false
	}
	var sum byte
	for _, c := range short {
		sum = sum<<7 | sum>>1
		sum += c
	}
	if sum != l.sum {
		return "", false
	}
	units := l.units[:l.parts*longUnits]
	for i, u := range units {
		if u == 0 {
			units = units[:i]
			break
		}
	}
	return string(utf16.Decode(units)), true
}
