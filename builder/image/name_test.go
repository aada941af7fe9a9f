package image

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"imgbuild/builder/recipe"
	"imgbuild/builder/tree"
	"imgbuild/init/contract/archive"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fat"
	"imgbuild/init/contract/fault"
)

// onDisk writes a disk whose BOOT has nothing but this config.yaml.
func onDisk(t *testing.T, file string, text []byte) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	v := &fat.Volume{Label: bootLabel, Start: bootStart / sector, Size: bootSize, ClusterSize: bootCluster, Files: []fat.File{
		{Path: "config.yaml", Size: int64(len(text)), Open: tree.Bytes(text).Open}}}
	if _, err := v.Plan(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(bootStart+bootSize), v.Write(io.NewOffsetWriter(f, bootStart))); err != nil {
		t.Fatal(err)
	}
}

// An image for a node carries its name, and one whose node has no name never replaces another's.
func TestName(t *testing.T) {
	r := decided(t, "rpi4")
	named := func(out, config string, node *Node) (string, error) {
		b := &build{Options: Options{Recipe: r, Out: out, Node: node}, version: "20260101-0badc0de"}
		if config != "" {
			b.Config = []byte(config)
		}
		return b.name()
	}
	dir := t.TempDir()
	for _, c := range []struct {
		config string
		node   *Node
		want   string
	}{
		{"", nil, "rpi4-worker-20260101-0badc0de"},
		{"hostname: node1\n", nil, "rpi4-worker-node1-20260101-0badc0de"},
		{"hostname: node2\n", nil, "rpi4-worker-node2-20260101-0badc0de"},
		{"hostname: Node.LAN\n", nil, "rpi4-worker-node.lan-20260101-0badc0de"},
		{"hostname: ../../x\n", nil, "rpi4-worker-....x-20260101-0badc0de"},
		{"k3os: {token: a}\n", nil, "rpi4-worker-configured-20260101-0badc0de"},
		{"", &Node{Header: archive.Header{Hostname: "old"}}, "rpi4-worker-old-20260101-0badc0de"},
		{"", &Node{Config: []byte("hostname: inside\n"), Header: archive.Header{Hostname: "old"}}, "rpi4-worker-inside-20260101-0badc0de"},
		{"", &Node{Parts: map[string][]byte{"a.yaml": []byte("hostname: part\n")}}, "rpi4-worker-part-20260101-0badc0de"},
		{"hostname: mine\n", &Node{Header: archive.Header{Hostname: "old"}}, "rpi4-worker-mine-20260101-0badc0de"},
	} {
		if got, err := named(dir, c.config, c.node); err != nil || got != c.want {
			t.Errorf("%q %+v: got %s %v, want %s", c.config, c.node, got, err, c.want)
		}
	}
	file := filepath.Join(dir, "rpi4-worker-configured-20260101-0badc0de.img")
	first := "k3os: {token: a}\n"
	onDisk(t, file, config.WithSpace([]byte(first)))
	if got, err := named(dir, first, nil); err != nil {
		t.Errorf("the same configuration again: got %s %v, want no error", got, err)
	}
	if got, err := named(dir, "k3os: {token: b}\n", nil); fault.Code(err) != int(fault.Input) {
		t.Errorf("another configuration: got %s %v, want a fault of kind Input", got, err)
	}
	if got, err := named(dir, "", &Node{}); fault.Code(err) != int(fault.Input) {
		t.Errorf("a node that moves in: got %s %v, want a fault of kind Input", got, err)
	}
	if err := os.WriteFile(file, []byte("no image"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := named(dir, first, nil); fault.Code(err) != int(fault.Input) {
		t.Errorf("something else under the name: got %s %v, want a fault of kind Input", got, err)
	}
	if _, err := configOf(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no image: %v", err)
	}
}

// An image that lets ssh keys log in and has nothing else carries the key's name, is nobody's
// secret, and is not replaced by one for another key.
func TestNameOfKey(t *testing.T) {
	r := decided(t, "rpi4")
	dir := t.TempDir()
	named := func(key string) (string, error) {
		text, err := KeyConfig("worker", []string{key})
		if err != nil {
			t.Fatal(err)
		}
		b := &build{Options: Options{Recipe: r, Out: dir, Config: text, Login: "me-laptop"}, version: "20260101-0badc0de"}
		if b.secret() {
			t.Error("public keys are taken for a secret")
		}
		if b.Node = (&Node{}); !b.secret() {
			t.Error("a node is not taken for a secret")
		}
		b.Node = nil
		return b.name()
	}
	const name = "rpi4-worker-me-laptop-20260101-0badc0de"
	if got, err := named("ssh-ed25519 AAAA a: # b"); err != nil || got != name {
		t.Errorf("got %s, %v, want %s", got, err, name)
	}
	text, err := KeyConfig("worker", []string{"ssh-ed25519 AAAA a: # b"})
	if err != nil {
		t.Fatal(err)
	}
	layer, problems := config.Parse("config.yaml", text)
	if c, _ := config.Merge(layer); problems != nil || len(c.SSHAuthorizedKeys) != 1 || c.SSHAuthorizedKeys[0] != "ssh-ed25519 AAAA a: # b" {
		t.Errorf("the node reads %v, %v from\n%s", c.SSHAuthorizedKeys, problems, text)
	}
	onDisk(t, filepath.Join(dir, name+".img"), config.WithSpace(text))
	if got, err := named("ssh-ed25519 AAAA a: # b"); err != nil || got != name {
		t.Errorf("the same key again: got %s, %v", got, err)
	}
	if got, err := named("ssh-ed25519 BBBB a"); fault.Code(err) != int(fault.Input) {
		t.Errorf("another key: got %s, %v, want a fault of kind Input", got, err)
	}
}

// The disk of a node has no name while it is built; published it has its own, and mode 0600.
func TestDiskWithoutName(t *testing.T) {
	dir := t.TempDir()
	for _, secret := range []bool{true, false} {
		b := &build{temp: dir, Options: Options{Recipe: &recipe.Ready{}}}
		if secret {
			b.Config = []byte("hostname: a\n")
		}
		f, done, err := b.createDisk("disk.img")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString("a token"); err != nil {
			t.Fatal(err)
		}
		if err := done(); err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		if secret && len(entries) != 0 && b.path("disk.img") != filepath.Join(dir, entries[0].Name()) {
			t.Errorf("while it is built: got %v, want nothing", entries)
		}
		if sum, n, err := sumFile(b.path("disk.img")); err != nil || n != 7 || len(sum) != 64 {
			t.Errorf("read again: got %d bytes %v, want 7", n, err)
		}
		final := filepath.Join(t.TempDir(), "node.img")
		if err := b.publishFile("disk.img", final); err != nil {
			t.Fatal(err)
		}
		for _, c := range b.open {
			c.Close()
		}
		want := os.FileMode(0o644)
		if secret {
			want = 0o600
		}
		if info, err := os.Stat(final); err != nil || info.Mode().Perm() != want || info.Size() != 7 {
			t.Errorf("published: got %v %v, want mode %v and 7 bytes", info, err, want)
		}
		if entries, _ := os.ReadDir(dir); len(entries) != 0 {
			t.Errorf("published: got %v in the working directory, want nothing", entries)
		}
	}
}
