package tree

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"strings"
)

// merged are the directories that Debian 13 keeps below /usr, with links at the root in their
// place.
var merged = []string{"bin", "sbin", "lib", "lib32", "lib64", "libx32"}

// usrMerge returns the path below /usr of what an older package still ships at the root.
func usrMerge(name string) string {
	for _, dir := range merged {
		if name == dir || strings.HasPrefix(name, dir+"/") {
			return "usr/" + name
		}
	}
	return name
}

// AddTar adds the members of an uncompressed tar (GNU, PAX or ustar) of size bytes. Contents stay
// in r and are referred to, so r has to live as long as the tree. keep, if given, chooses by path.
// Bad archives give an error with origin.
func (t *Tree) AddTar(origin string, r io.ReaderAt, size int64, keep func(name string) bool) error {
	sr := io.NewSectionReader(r, 0, size)
	tr := tar.NewReader(sr)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", origin, err)
		}
		name := clean(h.Name)
		if (h.Typeflag == tar.TypeSymlink) && isMerged(name) {
			continue // base-files' own links of the merged root
		}
		name = usrMerge(name)
		if keep != nil && !keep(name) {
			continue
		}
		n := &Node{Path: name, Mode: uint16(h.Mode & 0o7777), UID: uint32(h.Uid), GID: uint32(h.Gid), Origin: origin}
		if h.Uid < 0 || h.Gid < 0 {
			return fmt.Errorf("%s: %s has a negative owner", origin, name)
		}
		if s := h.ModTime.Unix(); s > 0 && s <= 1<<32-1 {
			n.MTime = uint32(s)
		}
		switch h.Typeflag {
		case tar.TypeDir:
			n.Kind = Dir
			if old := t.nodes[name]; old != nil && old.Kind == Dir && old.Origin != "" {
				continue // the first package of a shared directory decides its mode
			}
		case tar.TypeReg:
			off, err := sr.Seek(0, io.SeekCurrent)
			if err != nil {
				return fmt.Errorf("%s: %w", origin, err)
			}
			for key := range h.PAXRecords {
				if strings.HasPrefix(key, "GNU.sparse.") {
					return fmt.Errorf("%s: %s is a sparse file, which no package holds", origin, name)
				}
			}
			if off+h.Size > size {
				return fmt.Errorf("%s: %s is cut off", origin, name)
			}
			n.Kind, n.Content = File, Section(r, off, h.Size)
		case tar.TypeSymlink:
			n.Kind, n.Target, n.Mode = Symlink, h.Linkname, 0o777
		case tar.TypeLink:
			n.Kind = File
			n.HardLink = usrMerge(clean(h.Linkname))
			if f := t.nodes[n.HardLink]; f != nil && f.HardLink != "" {
				n.HardLink = f.HardLink
			}
		case tar.TypeChar:
			n.Kind, n.Major, n.Minor = Char, uint32(h.Devmajor), uint32(h.Devminor)
		case tar.TypeBlock:
			n.Kind, n.Major, n.Minor = Block, uint32(h.Devmajor), uint32(h.Devminor)
		case tar.TypeFifo:
			n.Kind = Fifo
		default:
			return fmt.Errorf("%s: %s has the unknown tar type %q", origin, name, h.Typeflag)
		}
		for key, value := range h.PAXRecords {
			if attr, ok := strings.CutPrefix(key, "SCHILY.xattr."); ok {
				if n.Xattrs == nil {
					n.Xattrs = map[string][]byte{}
				}
				n.Xattrs[attr] = []byte(value)
			}
		}
		if err := t.Put(n); err != nil {
			return err
		}
	}
}

func isMerged(name string) bool {
	for _, dir := range merged {
		if name == dir {
			return true
		}
	}
	return false
}
