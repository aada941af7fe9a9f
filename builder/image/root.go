package image

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"imgbuild/builder/recipe"
	"imgbuild/builder/tree"
	"imgbuild/init/contract/fault"
	"imgbuild/overlays"
)

// packages streams every locked package into one tree, unstripped: kernel, firmware and device
// trees are still in it.
func (b *build) packages(ctx context.Context) (*tree.Tree, error) {
	t := tree.New()
	list := b.Recipe.Lock.Packages
	for i, p := range list {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		f, err := b.Client.Data(ctx, p)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", p.Name, err)
		}
		b.keep(f)
		info, err := f.Stat()
		if err != nil {
			return nil, err
		}
		if err := t.AddTar(p.Name, f, info.Size(), nil); err != nil {
			return nil, err
		}
		b.progress("unpack", int64(i+1), int64(len(list)))
	}
	return t, nil
}

// finishRoot makes the root file system out of the packages: what no node needs is dropped,
// overlays and the table of what maintainer scripts would do are applied, our own programs and
// names are added.
func (b *build) finishRoot(t *tree.Tree, shelf []byte) error {
	r := b.Recipe
	keep := tree.Patterns(append([]string(nil), r.Base.Keep...))
	for _, pattern := range r.Family.Firmware {
		one := tree.Patterns{"usr/lib/firmware/" + pattern}
		if !slices.ContainsFunc(t.Nodes(), func(n *tree.Node) bool { return n.Kind != tree.Dir && one.Match(n.Path) }) {
			return fault.New(fault.Internal, "correct the lists in boards/", "no package of family %s has firmware %s", r.Family.Name, pattern)
		}
		keep = append(keep, "usr/lib/firmware/"+pattern)
	}
	t.Strip(tree.Patterns(r.Base.Strip), keep)
	base, err := newOverlay("base")
	if err != nil {
		return err
	}
	slot, err := newOverlay(r.Slot.Name)
	if err != nil {
		return err
	}
	family, err := newOverlay(r.Family.Name)
	if err != nil {
		return err
	}
	ids, err := readIDs(base.files)
	if err != nil {
		return err
	}
	for _, o := range []*overlay{base, slot, family} {
		if err := o.apply(t, ids, b.date()); err != nil {
			return fmt.Errorf("overlays/%s: %w", o.name, err)
		}
	}
	own := []*tree.Node{
		{Path: "usr/bin/shelf", Kind: tree.File, Mode: 0o755, Content: tree.Bytes(shelf)},
		{Path: "usr/lib/os-release", Kind: tree.File, Mode: 0o644, Content: tree.Bytes([]byte(osRelease(b.version)))},
	}
	if r.K3s.Source == recipe.Embedded {
		own = append(own, &tree.Node{Path: "usr/bin/k3s", Kind: tree.File, Mode: 0o755, Content: fileContent(r.K3s.File, r.K3s.Size)})
		for _, name := range []string{"kubectl", "crictl", "ctr"} {
			own = append(own, &tree.Node{Path: "usr/bin/" + name, Kind: tree.Symlink, Mode: 0o777, Target: "k3s"})
		}
	}
	for _, n := range own {
		n.Origin, n.MTime = "imgbuild", b.date()
		if err := t.Put(n); err != nil {
			return err
		}
	}
	if err := b.busyboxLinks(t, base.table); err != nil {
		return err
	}
	for _, text := range privileges(t, slices.Concat(base.table.SetID, slot.table.SetID, family.table.SetID)) {
		b.warn("%s", text)
	}
	return t.Check()
}

func osRelease(version string) string {
	return fmt.Sprintf(`PRETTY_NAME="ShelfOS %[1]s (Debian 13)"
NAME="ShelfOS"
ID=shelfos
ID_LIKE=debian
VERSION_ID="%[1]s"
VERSION="%[1]s"
DEBIAN_VERSION_FULL=13
VERSION_CODENAME=trixie
`, version)
}

// busyboxLinks adds a link for every applet of the table unless a package brings the program.
func (b *build) busyboxLinks(t *tree.Tree, table *overlays.Table) error {
	bb := t.Lookup("usr/bin/busybox")
	if bb == nil {
		return fmt.Errorf("the package busybox has no usr/bin/busybox")
	}
	program, err := bb.Content.ReadAll()
	if err != nil {
		return err
	}
	var missing []string
	for _, applet := range table.Busybox {
		if t.Lookup("usr/bin/"+applet) != nil || t.Lookup("usr/sbin/"+applet) != nil {
			continue
		}
		if !strings.Contains(string(program), "\x00"+applet+"\x00") {
			missing = append(missing, applet)
			continue
		}
		if err := t.Put(&tree.Node{Path: "usr/bin/" + applet, Kind: tree.Symlink, Mode: 0o777, Target: "busybox", MTime: b.date(), Origin: "imgbuild"}); err != nil {
			return err
		}
	}
	if missing != nil {
		return fmt.Errorf("busybox has no applet %s: take it out of overlays/base.yaml", strings.Join(missing, ", "))
	}
	return nil
}

// usr returns the tree of the squashfs, which is mounted on /usr: usr/* becomes its root, the
// packages' /etc and /var become templates that the init copies. Nothing else of the root may hold
// anything: it would be lost, so it is an error.
func usr(t *tree.Tree) (*tree.Tree, error) {
	out := tree.New()
	move := func(name string) (string, bool) {
		switch {
		case name == "usr":
			return "", true
		case strings.HasPrefix(name, "usr/"):
			return name[len("usr/"):], true
		case name == "etc" || strings.HasPrefix(name, "etc/"):
			return "share/" + name, true
		case name == "var" || strings.HasPrefix(name, "var/"):
			return "share/factory/" + name, true
		}
		return "", false
	}
	// The directories of the root that every node has anyway; the init makes them.
	made := map[string]bool{"": true, "bin": true, "sbin": true, "lib": true, "boot": true, "dev": true, "home": true, "media": true, "mnt": true,
		"opt": true, "proc": true, "root": true, "run": true, "srv": true, "sys": true, "tmp": true}
	for _, n := range t.Nodes() {
		name, ok := move(n.Path)
		if !ok {
			if !made[strings.SplitN(n.Path, "/", 2)[0]] {
				return nil, fmt.Errorf("%s brings %s, which is neither below /usr, /etc nor /var", n.Origin, n.Path)
			}
			continue
		}
		c := *n
		c.Path = name
		if c.HardLink != "" {
			if c.HardLink, ok = move(n.HardLink); !ok {
				return nil, fmt.Errorf("%s: %s is a hard link to %s", n.Origin, n.Path, n.HardLink)
			}
		}
		if err := out.Put(&c); err != nil {
			return nil, err
		}
	}
	return out, out.Check()
}
