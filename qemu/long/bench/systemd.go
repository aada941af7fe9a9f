package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"imgbuild/builder/blockcache"
	"imgbuild/builder/debian"
	"imgbuild/builder/tree"
	"imgbuild/images"
	"imgbuild/init/contract/ext4"
	"imgbuild/qemu/vm"
)

// The reference is what a careful Debian user would have without us: systemd with udev and
// networkd, and sshd. The kernel, its modules and its command line are those of our image.
// Everything that may be left out is, in the reference's favour: no dbus, no logind, no getty, no
// PAM, no table of hardware names, no waiting for the network, one host key.
var systemd = struct {
	want  []string
	need  []string          // what our own slots drop
	strip tree.Patterns     // what no boot reads
	links map[string]string // path -> target: what scripts and presets of the packages would link
	files map[string]string
}{
	want: []string{"base-files", "base-passwd", "netbase", "libc-bin", "bash", "dash", "coreutils", "mount", "kmod",
		"systemd", "systemd-sysv", "udev", "openssh-server"},
	need: []string{"systemd", "libsystemd-shared", "udev"},
	strip: tree.Patterns{"usr/share/doc/**", "usr/share/man/**", "usr/share/info/**", "usr/share/locale/**", "usr/share/i18n/**", "usr/share/lintian/**",
		"usr/share/bash-completion/**", "usr/share/zsh/**", "usr/lib/udev/hwdb.d/**", "usr/lib/*/gconv/**", "etc/init.d/**", "etc/rc*.d/**"},
	links: map[string]string{
		"bin":                               "usr/bin",
		"sbin":                              "usr/sbin",
		"lib":                               "usr/lib",
		"etc/systemd/system/default.target": unit + "multi-user.target",
		"etc/systemd/system/multi-user.target.wants/ssh.service":              unit + "ssh.service",
		"etc/systemd/system/multi-user.target.wants/systemd-networkd.service": unit + "systemd-networkd.service",
		"etc/systemd/system/sockets.target.wants/systemd-networkd.socket":     unit + "systemd-networkd.socket",
		"etc/systemd/system/getty.target":                                     "/dev/null",
	},
	files: map[string]string{
		"etc/hostname":                        "reference\n",
		"etc/machine-id":                      "0123456789abcdef0123456789abcdef\n",
		"etc/nsswitch.conf":                   "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n",
		"etc/systemd/network/80-dhcp.network": "[Match]\nType=ether\n\n[Network]\nDHCP=ipv4\n",
		"etc/ssh/sshd_config":                 "HostKey /etc/ssh/ssh_host_ed25519_key\nUsePAM no\nPasswordAuthentication no\n",
	},
}

const unit = "/usr/lib/systemd/system/"

// machine is what QEMU is given to boot into systemd.
type machine struct{ kernel, initrd, disk, args string }

// systemd builds the reference for the kernel of one of our images.
func (b *bench) systemd(ctx context.Context, image string, key ssh.PublicKey) (m machine, err error) {
	dir, err := b.mkdir("systemd")
	if err != nil {
		return m, err
	}
	m = machine{kernel: filepath.Join(dir, "kernel"), initrd: filepath.Join(dir, "initrd"), disk: filepath.Join(dir, "disk.img")}
	im, err := vm.OpenImage(image)
	if err != nil {
		return m, err
	}
	defer im.Close()
	kernel, err := im.Kernel(vm.SlotA)
	if err != nil {
		return m, err
	}
	if err := os.WriteFile(m.kernel, kernel, 0o600); err != nil {
		return m, err
	}
	ours, _, _ := strings.Cut(im.CommandLine("qemu-arm64", "ttyAMA0"), "shelf.")
	m.args = ours + "root=/dev/vda rw"

	slot, err := im.Manifest(vm.SlotA)
	if err != nil {
		return m, err
	}
	squashfs, usr := filepath.Join(dir, "ours.squashfs"), filepath.Join(dir, "usr")
	if err := section(squashfs, io.NewSectionReader(im.Partition(vm.SlotA), slot.Root.Offset, slot.Root.Size)); err != nil {
		return m, err
	}
	if _, err := reference(ctx, dir, "unsquashfs", "-q", "-n", "-no-xattrs", "-d", usr, squashfs, "lib/modules"); err != nil {
		return m, err
	}
	t, done, err := packages(ctx)
	if err != nil {
		return m, err
	}
	defer done()
	if err := finish(t, usr, key); err != nil {
		return m, err
	}
	if err := writeRoot(m.disk, t); err != nil {
		return m, err
	}
	return m, b.handover(ctx, m.initrd, filepath.Join(usr, "lib/modules", slot.Kernel))
}

// packages returns the tree of the reference's packages, the newest of the archive that this
// machine uses. It refers to files of the cache until done is called.
func packages(ctx context.Context) (*tree.Tree, func(), error) {
	cache, err := blockcache.Open(os.Getenv("IMGBUILD_CACHE"))
	if err != nil {
		return nil, nil, err
	}
	mirrors, err := debian.HostMirrors(os.DirFS("/etc/apt"))
	if given := os.Getenv("IMGBUILD_MIRROR"); given != "" {
		mirrors, err = debian.ParseMirror(given)
	}
	if err != nil {
		return nil, nil, err
	}
	base, err := images.GetBase()
	if err != nil {
		return nil, nil, err
	}
	r := debian.Request{Arch: "arm64", Want: systemd.want}
	for _, s := range base.Suites {
		r.Suites = append(r.Suites, debian.Suite{Archive: s.Archive, Name: s.Name, Components: []string{"main"}})
	}
	for _, name := range base.Drop {
		if !slices.Contains(systemd.need, name) {
			r.Drop = append(r.Drop, name)
		}
	}
	client := debian.NewClient(debian.Options{Cache: cache, Mirrors: mirrors})
	lock, err := client.MakeLock(ctx, r)
	if err != nil {
		return nil, nil, err
	}
	t := tree.New()
	var open []*os.File
	done := func() {
		for _, f := range open {
			f.Close()
		}
	}
	for _, p := range lock.Packages {
		if p.Name == "systemd" || p.Name == "openssh-server" {
			fmt.Printf("  reference: %s %s\n", p.Name, p.Version)
		}
		err := func() error {
			f, err := client.Data(ctx, p)
			if err != nil {
				return err
			}
			open = append(open, f)
			info, err := f.Stat()
			if err != nil {
				return err
			}
			return t.AddTar(p.Name, f, info.Size(), nil)
		}()
		if err != nil {
			done()
			return nil, nil, err
		}
	}
	return t, done, nil
}

// finish makes a root that boots out of the packages: the table above, users, keys, and our
// kernel's modules from usr.
func finish(t *tree.Tree, usr string, login ssh.PublicKey) error {
	t.Strip(systemd.strip, nil)
	put := func(name string, mode uint16, data []byte) error {
		return t.Put(&tree.Node{Path: name, Kind: tree.File, Mode: mode, Content: tree.Bytes(data), Origin: "the reference"})
	}
	for _, dir := range []string{"boot", "dev", "proc", "run", "sys", "tmp", "mnt"} {
		if err := t.Put(&tree.Node{Path: dir, Kind: tree.Dir, Mode: 0o755, Origin: "the reference"}); err != nil {
			return err
		}
	}
	for name, target := range systemd.links {
		if err := t.Put(&tree.Node{Path: name, Kind: tree.Symlink, Mode: 0o777, Target: target, Origin: "the reference"}); err != nil {
			return err
		}
	}
	for _, name := range []string{"passwd", "group"} {
		n := t.Lookup("usr/share/base-passwd/" + name + ".master")
		if n == nil {
			return fmt.Errorf("base-passwd has no %s.master", name)
		}
		data, err := n.Content.ReadAll()
		if err != nil {
			return err
		}
		if err := put("etc/"+name, 0o644, data); err != nil {
			return err
		}
	}
	for name, text := range systemd.files {
		if err := put(name, 0o644, []byte(text)); err != nil {
			return err
		}
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	host, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		return err
	}
	if err := put("etc/ssh/ssh_host_ed25519_key", 0o600, pem.EncodeToMemory(host)); err != nil {
		return err
	}
	if err := t.Put(&tree.Node{Path: "root", Kind: tree.Dir, Mode: 0o700, Origin: "the reference"}); err != nil {
		return err
	}
	if err := put("root/.ssh/authorized_keys", 0o600, ssh.MarshalAuthorizedKey(login)); err != nil {
		return err
	}
	err = filepath.WalkDir(usr, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(usr, name)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		return put("usr/"+filepath.ToSlash(rel), 0o644, data)
	})
	if err != nil {
		return err
	}
	return t.Check()
}

// writeRoot writes the tree as a disk with an ext4 file system.
func writeRoot(name string, t *tree.Tree) error {
	var entries, links []ext4.Entry
	for _, n := range t.Nodes() {
		e := ext4.Entry{Path: n.Path, Mode: n.Mode, UID: n.UID, GID: n.GID, Size: n.Content.Size, Open: n.Content.Open, Target: n.Target, Time: n.MTime}
		switch {
		case n.HardLink != "":
			e.Kind, e.Target = ext4.HardLink, n.HardLink
			links = append(links, e)
			continue
		case n.Kind == tree.Dir:
			e.Kind = ext4.Dir
		case n.Kind == tree.File:
			e.Kind = ext4.File
		case n.Kind == tree.Symlink:
			e.Kind = ext4.Symlink
		default:
			return fmt.Errorf("%s of %s is a %s", n.Path, n.Origin, n.Kind)
		}
		entries = append(entries, e)
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	o := ext4.Options{Size: 2 << 30, UUID: [16]byte{1}, HashSeed: [16]byte{2}, Label: "reference"}
	if err := ext4.Write(f, o, append(entries, links...)); err != nil {
		return err
	}
	if err := f.Truncate(o.Size); err != nil {
		return err
	}
	return f.Close()
}
