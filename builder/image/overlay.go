package image

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"imgbuild/builder/tree"
	"imgbuild/overlays"
)

type overlay struct {
	name  string
	files fs.FS // nil: no files
	table *overlays.Table
}

func newOverlay(name string) (*overlay, error) {
	files, table, err := overlays.Get(name)
	return &overlay{name, files, table}, err
}

// ids are the pinned users and groups of the image.
type ids struct{ users, groups map[string]uint32 }

func readIDs(files fs.FS) (ids, error) {
	out := ids{map[string]uint32{}, map[string]uint32{}}
	for name, into := range map[string]map[string]uint32{"etc/passwd": out.users, "etc/group": out.groups} {
		data, err := fs.ReadFile(files, name)
		if err != nil {
			return out, err
		}
		for i, line := range strings.Split(strings.TrimSuffix(string(data), "\n"), "\n") {
			f := strings.Split(line, ":")
			if len(f) < 3 {
				return out, fmt.Errorf("overlays/base/%s:%d: %q has no id", name, i+1, line)
			}
			id, err := strconv.ParseUint(f[2], 10, 32)
			if err != nil {
				return out, fmt.Errorf("overlays/base/%s:%d: %w", name, i+1, err)
			}
			into[f[0]] = uint32(id)
		}
	}
	return out, nil
}

// owner resolves "user" or "user:group"; a user alone brings the group of the same name where there
// is one, else 0.
func (i ids) owner(text string) (uid, gid uint32, err error) {
	if text == "" {
		return 0, 0, nil
	}
	user, group, ok := strings.Cut(text, ":")
	uid, known := i.users[user]
	if !known {
		return 0, 0, fmt.Errorf("no user %q in base/etc/passwd", user)
	}
	if !ok {
		return uid, i.groups[user], nil
	}
	gid, known = i.groups[group]
	if !known {
		return 0, 0, fmt.Errorf("no group %q in base/etc/group", group)
	}
	return uid, gid, nil
}

func (o *overlay) apply(t *tree.Tree, ids ids, date uint32) error {
	for _, name := range o.table.Remove {
		t.Remove(name)
	}
	for _, d := range o.table.Dirs {
		if d.Optional && t.Lookup(d.Path) == nil {
			continue
		}
		uid, gid, err := ids.owner(d.Owner)
		if err != nil {
			return err
		}
		if err := t.Put(&tree.Node{Path: d.Path, Kind: tree.Dir, Mode: d.Mode, UID: uid, GID: gid, MTime: date, Origin: "overlays/" + o.name}); err != nil {
			return err
		}
	}
	if o.files != nil {
		if err := o.addFiles(t, date); err != nil {
			return err
		}
	}
	for _, l := range o.table.Links {
		if l.Optional {
			target := l.Target
			if !strings.HasPrefix(target, "/") {
				target = path.Join(path.Dir(l.Path), target)
			}
			if t.Lookup(target) == nil {
				continue
			}
		}
		t.Remove(l.Path)
		if err := t.Put(&tree.Node{Path: l.Path, Kind: tree.Symlink, Mode: 0o777, Target: l.Target, MTime: date, Origin: "overlays/" + o.name}); err != nil {
			return err
		}
	}
	for _, m := range o.table.Modes {
		n := t.Lookup(m.Path)
		if n == nil {
			if m.Optional {
				continue
			}
			return fmt.Errorf("%s is not there to get a mode", m.Path)
		}
		uid, gid, err := ids.owner(m.Owner)
		if err != nil {
			return err
		}
		n.Mode, n.UID, n.GID = m.Mode, uid, gid
	}
	for _, c := range o.table.Concat {
		var all bytes.Buffer
		for _, n := range t.Nodes() {
			if n.Kind == tree.File && tree.Match(c.From, n.Path) {
				data, err := n.Content.ReadAll()
				if err != nil {
					return fmt.Errorf("%s: %w", n.Path, err)
				}
				all.Write(bytes.TrimRight(data, "\n"))
				all.WriteByte('\n')
			}
		}
		if all.Len() == 0 {
			return fmt.Errorf("nothing matches %s", c.From)
		}
		if err := t.Put(&tree.Node{Path: c.To, Kind: tree.File, Mode: 0o644, Content: tree.Bytes(all.Bytes()), MTime: date, Origin: "overlays/" + o.name}); err != nil {
			return err
		}
	}
	return nil
}

// addFiles puts the overlay's files over the tree, root's, 0644, or 0755 in a folder bin or sbin.
// The place decides because go:embed keeps no modes; anything else is in the table.
func (o *overlay) addFiles(t *tree.Tree, date uint32) error {
	return fs.WalkDir(o.files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(o.files, name)
		if err != nil {
			return err
		}
		mode := uint16(0o644)
		if dir := path.Base(path.Dir(name)); dir == "bin" || dir == "sbin" {
			mode = 0o755
		}
		return t.Put(&tree.Node{Path: name, Kind: tree.File, Mode: mode, Content: tree.Bytes(data), MTime: date, Origin: "overlays/" + o.name})
	})
}
