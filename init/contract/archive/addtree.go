package archive

import (
	"cmp"
	"io/fs"
	"os"
	"path"
	"slices"
	"syscall"
)

// AddTree adds what is at root of the running system as prefix, a directory with all in it or a
// single file, in order of names. keep chooses by the path relative to root ("." for root itself; a
// directory that it drops drops all below) and may be nil. Links are kept as links, names of one
// file as hard links where they are in this tree. Sockets, pipes and devices cannot be taken along;
// their paths are given. What vanishes meanwhile is not an error, a file that shrinks is.
func (a *Writer) AddTree(root, prefix string, keep func(name string, info fs.FileInfo) bool) (left []string, err error) {
	first := map[inode]string{}
	r, err := os.OpenRoot(path.Dir(root))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var visit func(name, member, shown string) error
	visit = func(name, member, shown string) error {
		info, err := r.Lstat(name)
		if os.IsNotExist(err) && shown != "." {
			return nil
		}
		if err != nil {
			return err
		}
		if keep != nil && !keep(shown, info) {
			return nil
		}
		m, node, links := metaOf(info)
		switch info.Mode().Type() {
		case fs.ModeDir:
			d, err := r.Open(name)
			if err != nil {
				return err
			}
			names, err := d.Readdirnames(-1)
			d.Close()
			if err != nil {
				return err
			}
			if err := a.Dir(member, m); err != nil {
				return err
			}
			slices.Sort(names)
			for _, n := range names {
				if err := visit(path.Join(name, n), path.Join(member, n), path.Join(shown, n)); err != nil {
					return err
				}
			}
			return nil
		case fs.ModeSymlink:
			target, err := r.Readlink(name)
			if err != nil {
				return err
			}
			return a.Symlink(member, target, m)
		case 0:
			if old, ok := first[node]; ok && links > 1 {
				return a.Link(member, old)
			}
			f, err := r.Open(name)
			if err != nil {
				return err
			}
			defer f.Close()
			if err := a.File(member, m, info.Size(), f); err != nil {
				return err
			}
			if links > 1 {
				first[node] = member
			}
			return nil
		}
		left = append(left, cmp.Or(path.Join(root, shown), root))
		return nil
	}
	return left, visit(path.Base(root), prefix, ".")
}

// inode names a file whatever its names are.
type inode struct{ device, number uint64 }

// metaOf returns what a member keeps of a file of the running system.
func metaOf(info fs.FileInfo) (Meta, inode, uint64) {
	m := Meta{Mode: uint16(info.Mode().Perm()), Time: info.ModTime()}
	if info.Mode()&fs.ModeSetuid != 0 {
		m.Mode |= 0o4000
	}
	if info.Mode()&fs.ModeSetgid != 0 {
		m.Mode |= 0o2000
	}
	if info.Mode()&fs.ModeSticky != 0 {
		m.Mode |= 0o1000
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return m, inode{}, 1
	}
	m.UID, m.GID = st.Uid, st.Gid
	return m, inode{uint64(st.Dev), uint64(st.Ino)}, uint64(st.Nlink)
}
