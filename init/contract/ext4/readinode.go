package ext4

import (
	"encoding/binary"
	"io"
	"path"
	"strings"
	"time"
)

// Other is the kind of inodes that are neither file, directory nor link: devices, pipes, sockets.
const Other Kind = 255

// Inode is what a file system has of a file.
type Inode struct {
	Number   uint32
	Kind     Kind
	Mode     uint16 // 07777
	UID, GID uint32
	Size     int64
	Links    int
	Time     time.Time // of the last change of the content
	Xattrs   bool      // it has extended attributes
	flags    uint32
	blocks   [60]byte
	seed     uint32
}

const (
	flagEncrypt = 0x800
	flagIndex   = 0x1000
	flagExtents = 0x80000
	flagInline  = 0x10000000
	maxLinkSize = 4096
)

// Inode reads an inode by number. The error of one that is not in use is *Damage, as something in
// use has named it.
func (f *Reader) Inode(n uint32) (*Inode, error) {
	if n == 0 || n > f.inodes {
		return nil, damaged("inode %d, of %d", n, f.inodes)
	}
	le := binary.LittleEndian
	d := f.gdt[int64((n-1)/f.perGrp)*f.descSz:]
	table := uint64(le.Uint32(d[0x08:]))
	if f.descSz >= 64 {
		table |= uint64(le.Uint32(d[0x28:])) << 32
	}
	off := int64((n-1)%f.perGrp) * f.inodeSz
	b := make([]byte, f.inodeSz)
	if err := f.readPart(b, table+uint64(off/f.block), off%f.block); err != nil {
		return nil, err
	}
	i := &Inode{Number: n, flags: le.Uint32(b[0x20:])}
	copy(i.blocks[:], b[0x28:])
	extra := 0
	if f.inodeSz > 128 {
		extra = int(le.Uint16(b[0x80:]))
		if extra > len(b)-128 || extra%4 != 0 {
			return nil, damaged("inode %d has %d bytes more than an inode", n, extra)
		}
	}
	if f.roCompt&roMetadataCsum != 0 {
		i.seed = checksum(checksum(f.seed, le.AppendUint32(nil, n)), b[0x64:0x68])
		want, high := uint32(le.Uint16(b[0x7C:])), extra >= 4
		le.PutUint16(b[0x7C:], 0)
		if high {
			want |= uint32(le.Uint16(b[0x82:])) << 16
			le.PutUint16(b[0x82:], 0)
		}
		if got := checksum(i.seed, b); got != want && (high || uint16(got) != uint16(want)) {
			return nil, damaged("the checksum of inode %d is wrong", n)
		}
	}
	mode := le.Uint16(b)
	i.Mode = mode & 0o7777
	switch mode & 0xF000 {
	case modeFile:
		i.Kind = File
	case modeDir:
		i.Kind = Dir
	case modeSymlink:
		i.Kind = Symlink
	case 0:
		return nil, damaged("inode %d is not in use", n)
	default:
		i.Kind = Other
	}
	i.UID = uint32(le.Uint16(b[0x02:])) | uint32(le.Uint16(b[0x78:]))<<16
	i.GID = uint32(le.Uint16(b[0x18:])) | uint32(le.Uint16(b[0x7A:]))<<16
	i.Size = int64(uint64(le.Uint32(b[0x04:])) | uint64(le.Uint32(b[0x6C:]))<<32)
	i.Links = int(le.Uint16(b[0x1A:]))
	seconds := int64(int32(le.Uint32(b[0x10:])))
	if extra >= 12 {
		seconds += int64(le.Uint32(b[0x88:])&3) << 32
	}
	i.Time = time.Unix(seconds, 0)
	const magic = 0xEA020000 // of attributes after the inode
	i.Xattrs = le.Uint32(b[0x68:]) != 0 || extra > 0 && 128+extra+4 <= len(b) && le.Uint32(b[128+extra:]) == magic
	if i.Size < 0 || i.Links == 0 {
		return nil, damaged("inode %d has size %d and %d names", n, i.Size, i.Links)
	}
	if i.flags&(flagInline|flagEncrypt) != 0 {
		return nil, &Unsupported{[]string{"encrypted or inline content"}}
	}
	return i, nil
}

// Target returns where a link points to.
func (f *Reader) Target(i *Inode) (string, error) {
	if i.Kind != Symlink || i.Size <= 0 || i.Size > maxLinkSize {
		return "", damaged("inode %d is a link of %d bytes", i.Number, i.Size)
	}
	b := make([]byte, i.Size)
	if i.Size < fastLink && i.flags&flagExtents == 0 {
		copy(b, i.blocks[:])
	} else if _, err := io.ReadFull(f.Content(i), b); err != nil {
		return "", err
	}
	if strings.IndexByte(string(b), 0) >= 0 {
		return "", damaged("the link in inode %d has a NUL in it", i.Number)
	}
	return string(b), nil
}

// Lookup finds a path below the root, "" being the root. No link is followed; for what does not
// exist it returns nil.
func (f *Reader) Lookup(name string) (*Inode, error) {
	i, err := f.Inode(rootInode)
	if err != nil || name == "" {
		return i, err
	}
	for part := range strings.SplitSeq(name, "/") {
		if i.Kind != Dir {
			return nil, nil
		}
		entries, err := f.ReadDir(i)
		if err != nil {
			return nil, err
		}
		next := uint32(0)
		for _, e := range entries {
			if e.Name == part {
				next = e.Inode
			}
		}
		if next == 0 {
			return nil, nil
		}
		if i, err = f.Inode(next); err != nil {
			return nil, err
		}
	}
	return i, nil
}

// Follow is Lookup with links followed, absolute ones from the root of this file system on. It
// returns the path without links. A path that does not exist, or is a circle, returns nil.
func (f *Reader) Follow(name string) (string, *Inode, error) {
	at, rest := "", strings.Split(name, "/")
	for hops := 0; len(rest) > 0 && hops < 256; hops++ {
		part := rest[0]
		rest = rest[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			if at = path.Dir(at); at == "." {
				at = ""
			}
			continue
		}
		next := strings.TrimPrefix(at+"/"+part, "/")
		i, err := f.Lookup(next)
		if err != nil || i == nil {
			return "", nil, err
		}
		if i.Kind != Symlink {
			at = next
			continue
		}
		target, err := f.Target(i)
		if err != nil {
			return "", nil, err
		}
		if strings.HasPrefix(target, "/") {
			at = ""
		}
		if rest = append(strings.Split(target, "/"), rest...); len(rest) > 256 {
			return "", nil, nil
		}
	}
	if len(rest) > 0 {
		return "", nil, nil
	}
	i, err := f.Lookup(at)
	return at, i, err
}
