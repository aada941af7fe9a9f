package apply

import (
	"os"
	"strings"
	"testing"

	"imgbuild/init/contract/config"
)

func filesMachine(t *testing.T) Machine {
	t.Helper()
	m := Machine{Root: t.TempDir(), UID: os.Getuid(), GID: os.Getgid()}
	for _, dir := range []string{"/etc", "/home/rancher"} {
		if err := os.MkdirAll(m.Root+dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// The node's own files stay its own, and /etc/hosts keeps the node's lines.
func TestNodeFiles(t *testing.T) {
	m := filesMachine(t)
	if err := m.Names("node1.lan"); err != nil {
		t.Fatal(err)
	}
	before := m.read(t, "/etc/hosts")
	for range 2 { // at every boot and change
		if err := m.Files([]config.File{{Path: "/etc/resolv.conf", Content: "x"}, {Path: "/etc//hostname", Content: "x"}, {Path: "/etc/hosts", Content: "10.0.0.1 nas\n"}}); err != nil {
			t.Fatal(err)
		}
		if got, want := m.read(t, "/etc/hosts"), before+"10.0.0.1 nas\n"; got != want {
			t.Errorf("/etc/hosts is %q, want %q", got, want)
		}
	}
	if got := m.read(t, "/etc/hostname"); got != "node1.lan\n" {
		t.Errorf("/etc/hostname is %q", got)
	}
	if _, err := os.Stat(m.Root + "/etc/resolv.conf"); err == nil {
		t.Error("/etc/resolv.conf is written")
	}
}

func TestAppend(t *testing.T) {
	m := filesMachine(t)
	f := []config.File{{Path: "/etc/x", Content: "b\n", Append: true}, {Path: "/home/rancher/.kube/a/config", Content: "c", Encoding: "text/plain"}}
	if err := os.WriteFile(m.Root+"/etc/x", []byte("a\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := m.Files(f); err != nil {
			t.Fatal(err)
		}
	}
	if got := m.read(t, "/etc/x"); got != "a\nb\n" {
		t.Errorf("%q", got)
	}
	if got := m.read(t, "/home/rancher/.kube/a/config"); got != "c" {
		t.Errorf("%q", got)
	}
}

// New directories below a home belong to whose home it is.
func TestParents(t *testing.T) {
	if os.Getuid() != 0 {
		t.Setenv("HOME", "/") // the owner is then the tester, as that of all files
	}
	m := filesMachine(t)
	if os.Getuid() == 0 {
		m.UID, m.GID = 1000, 1001
	}
	if err := m.Files([]config.File{{Path: "/home/rancher/.kube/a/config"}, {Path: "/opt/a/b"}}); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{"/home/rancher/.kube": m.UID, "/home/rancher/.kube/a": m.UID, "/opt/a": os.Getuid()} {
		st, err := os.Stat(m.Root + path)
		if err != nil {
			t.Fatal(err)
		}
		if uid, _ := owner(st); uid != want {
			t.Errorf("%s belongs to %d, want %d", path, uid, want)
		}
	}
}

// Old names are resolved by tzdata.zi, and what is none is refused.
func TestZoneLinks(t *testing.T) {
	m := filesMachine(t)
	if err := os.MkdirAll(m.Root+"/usr/share/zoneinfo/America", 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"America/New_York": "TZif", "tzdata.zi": "# version\nL America/New_York US/Eastern\nL US/Eastern EST5EDT\nL Nowhere/None Singapore\n"} {
		if err := os.WriteFile(m.Root+"/usr/share/zoneinfo/"+name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, zone := range []string{"America/New_York", "US/Eastern", "EST5EDT", "us/eastern"} {
		if err := m.Zone(zone); err != nil {
			t.Errorf("%s: %v", zone, err)
		}
		if to, _ := os.Readlink(m.Root + "/etc/localtime"); !strings.HasSuffix(to, "zoneinfo/America/New_York") {
			t.Errorf("%s leads to %q", zone, to)
		}
		if err := m.Zone(""); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Zone("Singapore"); err == nil {
		t.Error("a link to nothing is taken")
	}
	_ = m.Zone("../../etc/shadow")
	if _, err := os.Lstat(m.Root + "/etc/localtime"); err == nil {
		t.Error("a zone outside of the directory is taken")
	}
}
