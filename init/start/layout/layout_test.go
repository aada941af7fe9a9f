package layout

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imgbuild/init/base/mount"
	"imgbuild/init/contract/manifest"

	"golang.org/x/sys/unix"
)

// mine changes the owner of a table's directories to the user who runs the test; owners other than
// root cannot be tried without being root.
func mine(ops []mount.Op) []mount.Op {
	out := append([]mount.Op(nil), ops...)
	for i, op := range out {
		if d, ok := op.(mount.Dir); ok {
			d.UID, d.GID = os.Getuid(), os.Getgid()
			out[i] = d
		}
	}
	return out
}

func TestSkeletonHeals(t *testing.T) {
	root := t.TempDir()
	table := mine(mount.Under(root, skeleton))
	if err := mount.Do(table...); err != nil {
		t.Fatal(err)
	}
	os.WriteFile(root+"/var/lib/keep", []byte("x"), 0o600)
	os.RemoveAll(root + "/var/log")
	os.Remove(root + "/bin")
	os.Chmod(root+"/tmp", 0o755)
	if err := mount.Do(table...); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(root + "/var/log/shelf"); err != nil {
		t.Error(err)
	}
	if got, _ := os.Readlink(root + "/bin"); got != "usr/bin" {
		t.Errorf("/bin -> %q", got)
	}
	if st, _ := os.Stat(root + "/tmp"); st.Mode() != os.ModeDir|os.ModeSticky|0o777 {
		t.Errorf("/tmp is %v, want %v", st.Mode(), os.ModeDir|os.ModeSticky|0o777)
	}
	if got, _ := os.ReadFile(root + "/var/lib/keep"); string(got) != "x" {
		t.Errorf("what was there is gone: got %q, want %q", string(got), "x")
	}
}

func TestContentFillsEtcAndVar(t *testing.T) {
	root := t.TempDir()
	put := func(path, text string, mode os.FileMode) {
		os.MkdirAll(filepath.Dir(root+path), 0o755)
		os.WriteFile(root+path, []byte(text), mode)
	}
	put("/usr/share/etc/shadow", "rancher:!:::::::\n", 0o640)
	put("/usr/share/etc/ssl/certs/ca.crt", "cert", 0o644)
	put("/usr/share/factory/var/lib/pkg/state", "new", 0o600)
	put("/usr/share/factory/var/lib/pkg/other", "new", 0o600)
	put("/var/lib/pkg/state", "old", 0o600)
	put("/var/lib/rancher/k3os/rancher/k3s/config.yaml", "user's", 0o600)
	os.MkdirAll(root+"/etc", 0o755)
	if err := mount.Do(mine(mount.Under(root, content))...); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"/etc/ssl/certs/ca.crt": "cert", "/var/lib/pkg/state": "old", "/var/lib/pkg/other": "new", "/etc/rancher/k3s/config.yaml": "user's"} {
		if got, _ := os.ReadFile(root + path); string(got) != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	if st, _ := os.Stat(root + "/etc/shadow"); st.Mode().Perm() != 0o640 {
		t.Errorf("shadow is %v", st.Mode())
	}
}

// TestSystemTable compares the table with docs/disk.md: what is mounted where, and that everything
// that can be is nosuid, nodev and noexec.
func TestSystemTable(t *testing.T) {
	ops := system("/dev/dm-0", "/dev/vda1")
	seen := map[string]mount.Mount{}
	for _, op := range ops {
		if m, ok := op.(mount.Mount); ok {
			seen[m.Path] = m
		}
	}
	for _, path := range []string{"/run", "/tmp", "/boot", "/k3os/system", "/sys/fs/cgroup"} {
		if m := seen[path]; m.Flags&quiet != quiet {
			t.Errorf("%s: flags %#x: got %v, want %v", path, m.Flags, m.Flags&quiet, quiet)
		}
	}
	for _, path := range []string{"/boot", "/k3os/system"} {
		if m := seen[path]; m.Flags&unix.MS_RDONLY == 0 || m.Type != "vfat" {
			t.Errorf("%s is not read-only vfat: %v", path, m)
		}
	}
	if m := seen["/etc"]; m.Flags&unix.MS_NOEXEC != 0 || m.Type != "tmpfs" {
		t.Errorf("/etc: %v: got %v, want 0 and Type %q", m, m.Flags&unix.MS_NOEXEC, "tmpfs")
	}
	if m := seen["/usr/local"]; m.Source != "/var/local" || m.Flags&unix.MS_BIND == 0 {
		t.Errorf("/usr/local: %v", m)
	}
	if m := seen["/sys/fs/cgroup"]; m.Data != "nsdelegate,memory_recursiveprot" {
		t.Errorf("cgroup2: %v, want Data %q", m, "nsdelegate,memory_recursiveprot")
	}
	if m := seen["/boot"]; !strings.Contains(m.Data, "umask=0077") {
		t.Errorf("BOOT is readable for everybody: %v", m)
	}
}

func TestVerityTarget(t *testing.T) {
	r := manifest.Root{Offset: 4096, Size: 8192, TreeOffset: 12288, TreeSize: 4096, Hash: "ab", Salt: ""}
	got := verityTarget("/dev/dm-1", r)
	if got.Length != 16 || got.Params != "1 /dev/dm-1 /dev/dm-1 4096 4096 2 2 sha256 ab -" {
		t.Errorf("%+v", got)
	}
	if got := linear("/dev/vda2", 4096, 12288); got.Length != 24 || got.Params != "/dev/vda2 8" {
		t.Errorf("%+v", got)
	}
}

// TestEmptied: what a repair has emptied stays unused at every later boot, a new file system does
// not, nor a node with a past.
func TestEmptied(t *testing.T) {
	for name, c := range map[string]struct {
		files    []string
		repaired bool
		want     bool
	}{
		"new":                         {nil, false, false},
		"new, with its directories":   {[]string{"lost+found/", "k3os/data/", "k3os/config/"}, false, false},
		"new, from an archive":        {[]string{"lost+found/", "k3os/data/var/lib/rancher/k3os/ssh/ssh_host_ed25519_key"}, false, false},
		"at the boot that repairs":    {[]string{"lost+found/", "k3os/"}, true, true},
		"at the boot after that":      {[]string{"lost+found/#12/data/var/lib/shelf/machine-id"}, false, true},
		"made again over it":          {[]string{"lost+found/#12/x", "k3os/data/var/lib/shelf/"}, false, true},
		"repaired, still itself":      {[]string{"lost+found/#12", "k3os/data/var/lib/shelf/machine-id"}, true, false},
		"something found, but itself": {[]string{"lost+found/#12", "k3os/config/system.yaml"}, false, false},
	} {
		dir := t.TempDir()
		for _, f := range c.files {
			if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, f)+"/x"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if got := emptied(dir, c.repaired); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
