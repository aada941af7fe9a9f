package migrate

import (
	"bytes"
	"context"
	"debug/elf"
	"fmt"
	"io"
	"path"
	"strings"

	"imgbuild/init/contract/archive"
	"imgbuild/init/contract/ext4"
)

// taker copies from a card into an archive.
type taker struct {
	*card
	*node
	ctx    context.Context
	w      *archive.Writer
	report *Report
	names  map[uint32]string // of files that have more than one name: the first, by inode
	dirs   map[uint32]bool   // seen: a damaged card may go round in circles
	xattrs int
	musl   []string
}

// Directories at the top of a k3OS and in its /var that are the system's own, or nothing to keep.
// Whatever else is there somebody put there.
var (
	systemTop = words("usr etc proc sys dev run tmp bin sbin lib lib64 boot k3os lost+found media mnt var .base")
	systemVar = words("cache empty lib lock log run spool tmp db")
	systemLib = words("connman dbus rancher kubelet cni dhcpcd misc nfs urandom iscsi apk sudo udhcpd arpd logrotate chrony")
)

func words(s string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(s) {
		m[w] = true
	}
	return m
}

// planFull adds k3s' data and the files of people, and returns the words for what the archive then
// holds.
func (t *taker) planFull(have func(part) (bool, error)) (contents []string, err error) {
	add := func(word string, p part) error {
		p.to = p.from
		ok, err := have(p)
		if ok && (len(contents) == 0 || contents[len(contents)-1] != word) {
			contents = append(contents, word)
		}
		return err
	}
	if err := t.elsewhere(k3sDir); err != nil {
		return nil, err
	}
	names, err := t.list(k3sDir)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		dir := k3sDir + "/" + name
		if err := t.elsewhere(dir); err != nil {
			return nil, err
		}
		switch name {
		case "data":
			t.leave(dir, "the old k3s itself; the new one unpacks its own")
		case "server":
			if !t.server {
				t.leave(dir, "the node is a worker; these are of an earlier server")
				continue
			}
			err = add(archive.Datastore, part{from: dir, why: "k3s server: database, certificates, tokens, manifests", skip: upgradeController})
		case "storage":
			err = add(archive.Volumes, part{from: dir, why: "local volumes"})
		default:
			err = add(archive.K3s, part{from: dir, why: "k3s", skip: containerStore})
		}
		if err != nil {
			return nil, err
		}
	}
	for _, above := range []struct {
		dir string
		own map[string]bool
	}{{root, systemTop}, {root + "/var", systemVar}, {root + "/var/lib", systemLib}} {
		names, err := t.list(above.dir)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			dir := above.dir + "/" + name
			switch {
			case name == "longhorn":
				t.leave(dir, "Longhorn needs iscsid, which this system does not have; restore its volumes from Longhorn's backups")
			case name == "mnt" && above.dir == root, name == "media" && above.dir == root:
				t.leave(dir, "mount points")
			case name == "kubelet":
				t.leave(dir, "made again with the pods; the contents of emptyDir volumes are lost")
			case name == "log":
				t.leave(dir, "logs")
			case above.own[name]:
			default:
				if err := add(archive.Home, part{from: dir, why: "files of people", skip: loginKeys(dir)}); err != nil {
					return nil, err
				}
			}
		}
	}
	return contents, nil
}

// elsewhere warns of a directory of k3s that is a link: people moved it to another disk, and that
// is not on this card.
func (t *taker) elsewhere(name string) error {
	i, err := t.Lookup(name)
	if err != nil || i == nil || i.Kind != ext4.Symlink {
		return err
	}
	target, err := t.Target(i)
	if err != nil {
		return err
	}
	t.report.Warnings = append(t.report.Warnings, fmt.Sprintf("/%s is a link to %s: what is there is not taken, copy it yourself if it is on another disk", strings.TrimPrefix(name, root+"/"), clean(target)))
	return nil
}

func upgradeController(below string) string {
	switch below {
	case "manifests/system-upgrade-controller.yaml", "manifests/system-upgrade-plans":
		return "k3OS's upgrade controller and its plan; upgrades are the new system's own"
	}
	return ""
}

func containerStore(below string) string {
	if below == "containerd" {
		return "containers and their images; they are pulled again, or imported from agent/images"
	}
	return ""
}

// loginKeys leaves out the keys for login: the configuration has it, and k3OS never took a key
// away.
func loginKeys(dir string) func(string) string {
	return func(below string) string {
		if dir == root+"/home" && below == "rancher/.ssh/authorized_keys" {
			return "the configuration decides who may log in"
		}
		return ""
	}
}

// tree takes the file or directory i, which is at below in the part p.
func (t *taker) tree(p part, below string, i *ext4.Inode, item *Item) error {
	if err := t.ctx.Err(); err != nil {
		return err
	}
	from, to := path.Join(p.from, below), path.Join(p.to, below)
	if p.skip != nil && below != "" {
		if why := p.skip(below); why != "" {
			t.report.Left = append(t.report.Left, Item{Path: from, Why: why})
			return nil
		}
	}
	if i.Xattrs {
		t.xattrs++
	}
	m := archive.Meta{Mode: i.Mode, UID: i.UID, GID: i.GID, Time: i.Time}
	switch i.Kind {
	case ext4.Dir:
		if t.dirs[i.Number] {
			return &ext4.Damage{What: fmt.Sprintf("%s is a directory that is elsewhere too", from)}
		}
		t.dirs[i.Number] = true
		if err := t.w.Dir(to, m); err != nil {
			return err
		}
		entries, err := t.ReadDir(i)
		if err != nil {
			return fmt.Errorf("%s: %w", from, err)
		}
		for _, e := range entries {
			child, err := t.Inode(e.Inode)
			if err != nil {
				return fmt.Errorf("%s: %w", path.Join(from, e.Name), err)
			}
			if err := t.tree(p, path.Join(below, e.Name), child, item); err != nil {
				return err
			}
		}
	case ext4.Symlink:
		target, err := t.Target(i)
		if err != nil {
			return fmt.Errorf("%s: %w", from, err)
		}
		item.Files++
		return t.w.Symlink(to, target, m)
	case ext4.File:
		item.Files++
		if first := t.names[i.Number]; first != "" {
			return t.w.Link(to, first)
		}
		if i.Links > 1 {
			t.names[i.Number] = to
		}
		item.Bytes += i.Size
		if err := t.w.File(to, m, i.Size, t.watched(from, i)); err != nil {
			return fmt.Errorf("%s: %w", from, err)
		}
	default:
		if !strings.HasSuffix(from, ".sock") { // a socket is made again by the listening program
			t.report.Left = append(t.report.Left, Item{Path: from, Why: "a device, a pipe or a socket"})
		}
	}
	return nil
}

// watched returns the content of a file, and notes programs that want musl.
func (t *taker) watched(name string, i *ext4.Inode) io.Reader {
	r := t.Content(i)
	if i.Mode&0o111 == 0 || i.Size < 64 || strings.HasPrefix(name, k3sDir) {
		return r
	}
	head := make([]byte, min(i.Size, 64<<10))
	n, err := io.ReadFull(r, head)
	if err != nil {
		return io.MultiReader(bytes.NewReader(head[:n]), failing{err})
	}
	if strings.Contains(interpreter(head), "ld-musl") {
		t.musl = append(t.musl, strings.TrimPrefix(name, root))
	}
	return io.MultiReader(bytes.NewReader(head), r)
}

type failing struct{ error }

func (f failing) Read([]byte) (int, error) { return 0, f.error }

// interpreter returns the dynamic loader that an ELF program asks for, as far as its first bytes
// show; head is left as it is.
func interpreter(head []byte) string {
	b := bytes.Clone(head)
	if len(b) < 64 || string(b[:4]) != elf.ELFMAG {
		return ""
	}
	// The section table is at the end and is not wanted.
	if elf.Class(b[elf.EI_CLASS]) == elf.ELFCLASS64 {
		clear(b[0x28:0x30])
		clear(b[0x3C:0x40])
	} else {
		clear(b[0x20:0x24])
		clear(b[0x30:0x34])
	}
	f, err := elf.NewFile(bytes.NewReader(b))
	if err != nil {
		return ""
	}
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP || p.Filesz > 256 {
			continue
		}
		if name, err := io.ReadAll(p.Open()); err == nil {
			return strings.TrimRight(string(name), "\x00")
		}
	}
	return ""
}
