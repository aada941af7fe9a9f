package sources

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
)

const first = `hostname: node1
ssh_authorized_keys: [ssh-ed25519 AAAA me]
k3os:
  token: "K10secret-token"
  password: clear-text
`

// node is a BOOT and a store.
type node struct {
	t *testing.T
	Importer
	writes int
	fail   error // of Overwrite
	half   bool  // Overwrite writes half and fails
}

func newNode(t *testing.T) *node {
	n := &node{t: t, Importer: Importer{Boot: t.TempDir(), Store: t.TempDir()}}
	n.Overwrite = func(name string, text []byte) error {
		path := filepath.Join(n.Boot, name)
		now, err := os.ReadFile(path)
		if err != nil || len(now) != len(text) {
			t.Errorf("%s: %d bytes in the place of %d, %v", name, len(text), len(now), err)
		}
		n.writes++
		if n.half {
			copy(now[:len(now)*2/3], text)
			text = now
		}
		if n.fail != nil && !n.half {
			return n.fail
		}
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
		return n.fail
	}
	return n
}

func (n *node) put(name, text string) {
	n.t.Helper()
	path := filepath.Join(n.Boot, name)
	os.MkdirAll(filepath.Dir(path), 0o755)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) run() {
	n.t.Helper()
	if p, err := n.Run(); err != nil {
		n.t.Fatal(p, err)
	}
}

func (n *node) boot(name string) string {
	data, _ := os.ReadFile(filepath.Join(n.Boot, name))
	return string(data)
}

// merged is the configuration that the node would take from its store.
func (n *node) merged() *config.Config {
	n.t.Helper()
	root := n.t.TempDir()
	os.MkdirAll(root+filepath.Dir(Store), 0o755)
	if err := os.Symlink(n.Store, root+Store); err != nil {
		n.t.Fatal(err)
	}
	if err := os.Symlink(n.Boot, root+Boot); err != nil {
		n.t.Fatal(err)
	}
	layers, _ := Layers(root, "")
	c, _ := config.Merge(layers...)
	return c
}

// The first file that a node is given cannot be read as a whole: nothing is imported, and what can
// be read counts all the same, for nobody could log in otherwise. Once it is right it is imported
// as ever; and a later mistake costs nothing.
func TestFirstFileIsBroken(t *testing.T) {
	const key = "ssh_authorized_keys: [ssh-ed25519 AAAA me]\n"
	n := newNode(t)
	n.put("config.yaml", "hostname: node1\n"+key+"k3os:\n  token: abcdefgh\n\tserver_url: x\n")
	n.put("config.d/50-net.yaml", "network: {dns: [1.1.1.1]}\nrun_cmd: [\n")
	n.put("user-data", "#cloud-config\ntimezone: Europe/Berlin\npackages: [\n")
	if _, err := n.Run(); fault.Code(err) != int(fault.Input) {
		t.Errorf("%v, want code %v", err, int(fault.Input))
	}
	if c := n.merged(); c.Hostname != "node1" || len(c.SSHAuthorizedKeys) != 1 || c.K3OS.Token != "abcdefgh" || len(c.Network.DNS) != 1 || c.Time.Zone != "Europe/Berlin" {
		t.Errorf("%+v", c)
	}
	if left, _ := filepath.Glob(n.Store + "/*"); len(left) != 1 || n.writes != 0 { // the directory of parts
		t.Errorf("imported: %v", left)
	}
	n.put("config.yaml", "hostname: node2\n"+key+"k3os: {token: abcdefgh}\n")
	os.Remove(n.Boot + "/user-data")
	n.Run()
	if c := n.merged(); c.Hostname != "node2" || c.Time.Zone != "UTC" || strings.Contains(n.boot("config.yaml"), "abcdefgh") {
		t.Errorf("corrected: %+v", c)
	}
	n.put("config.yaml", "hostname: node3\n"+key+"k3os:\n\ttoken: abcdefgh\n")
	n.Run()
	if c := n.merged(); c.Hostname != "node2" || c.K3OS.Token != "abcdefgh" {
		t.Errorf("a later mistake: %q: got %q, want %q and %q", c.Hostname, c.K3OS.Token, "node2", "abcdefgh")
	}
}

func TestImport(t *testing.T) {
	n := newNode(t)
	n.put("config.yaml", first)
	n.run()
	if c := n.merged(); c.K3OS.Token != "K10secret-token" || !config.Hashed(c.K3OS.Password) || c.Hostname != "node1" {
		t.Errorf("%+v", c.K3OS)
	}
	if on := n.boot("config.yaml"); strings.Contains(on, "secret") || strings.Contains(on, "clear-text") || !strings.Contains(on, "node1") || len(on) != len(first) {
		t.Errorf("on BOOT:\n%s", on)
	}
	files, _ := filepath.Glob(n.Store + "/*")
	for _, f := range files {
		if st, _ := os.Stat(f); !st.IsDir() && st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v", f, st.Mode())
		}
	}
	n.run()
	if c := n.merged(); n.writes != 1 || c.K3OS.Token != "K10secret-token" {
		t.Errorf("the second boot: %d writes, token %q, want 1 and %q", n.writes, c.K3OS.Token, "K10secret-token")
	}
	// Edited on a laptop, the blanked secrets left alone.
	n.put("config.yaml", strings.Replace(n.boot("config.yaml"), "node1", "node-two", 1))
	n.run()
	if c := n.merged(); c.Hostname != "node-two" || c.K3OS.Token != "K10secret-token" || !config.Hashed(c.K3OS.Password) {
		t.Errorf("after an edit: %q %q", c.Hostname, c.K3OS.Token)
	}
	// A new token of the same length in the place of the blanked one.
	n.put("config.yaml", strings.Replace(n.boot("config.yaml"), "xxxxxxxxxxxxxxx", "K10SECRET-TOKEN", 1))
	n.run()
	if c := n.merged(); c.K3OS.Token != "K10SECRET-TOKEN" {
		t.Errorf("a new token is not taken: %q, want %q", c.K3OS.Token, "K10SECRET-TOKEN")
	}
	if strings.Contains(n.boot("config.yaml"), "K10SECRET-TOKEN") {
		t.Error("the new token stays on BOOT")
	}
	os.Remove(n.Boot + "/config.yaml")
	n.run()
	if c := n.merged(); c.Hostname != "node-two" {
		t.Errorf("a file that is gone from BOOT is forgotten: got %q, want %q", c.Hostname, "node-two")
	}
}

func TestBrokenFileIsNotImported(t *testing.T) {
	n := newNode(t)
	n.put("config.yaml", first)
	n.run()
	n.put("config.yaml", "hostname: [\n")
	n.put("config.d/50-label.yaml", "k3os: {labels: {a: b}}\n")
	problems, err := n.Run()
	if fault.Code(err) != int(fault.Input) || len(problems) == 0 {
		t.Errorf("%v %v", problems, err)
	}
	if c := n.merged(); c.Hostname != "node1" || c.K3OS.Labels["a"] != "b" {
		t.Errorf("a broken file costs something else: %q %v", c.Hostname, c.K3OS.Labels)
	}
}

func TestParts(t *testing.T) {
	n := newNode(t)
	n.put("config.d/00-image.yaml", "shelf: {board: rpi4, role: worker}\n")
	n.put("config.d/20-b.yaml", "hostname: b\n")
	n.put("config.d/10-a.yml", "hostname: a\nk3os: {token: abcdefgh}\n")
	n.put("config.d/._10-a.yml", "\x00\x05\x16\x07")
	n.put("config.d/note.txt", "not for us")
	n.put("config.yaml", "shelf: {role: server}\nhostname: main\n")
	n.run()
	c := n.merged()
	if c.Hostname != "b" || c.K3OS.Token != "abcdefgh" || c.Shelf.Role != "server" || c.Shelf.Board != "rpi4" {
		t.Errorf("%q %q %+v", c.Hostname, c.K3OS.Token, c.Shelf)
	}
}

// TestPowerCut stops the import at every write that it makes, and boots again.
func TestPowerCut(t *testing.T) {
	for _, half := range []bool{false, true} {
		n := newNode(t)
		n.put("config.yaml", first)
		n.fail, n.half = errors.New("the power went"), half
		if _, err := n.Run(); err == nil {
			t.Fatal("the failure is not reported")
		}
		if c := n.merged(); c.K3OS.Token != "K10secret-token" {
			t.Errorf("half %v: the token is lost: %q, want %q", half, c.K3OS.Token, "K10secret-token")
		}
		n.fail, n.half = nil, false
		n.run()
		n.run()
		if c := n.merged(); c.K3OS.Token != "K10secret-token" {
			t.Errorf("half %v: after the next boot the token is %q, want %q", half, c.K3OS.Token, "K10secret-token")
		}
		if strings.Contains(n.boot("config.yaml"), "secret") {
			t.Errorf("half %v: the token stays on BOOT", half)
		}
	}
	// Kept, but not yet noted: the file is imported a second time.
	n := newNode(t)
	n.put("config.yaml", first)
	n.run()
	for _, f := range []string{"/system.yaml.boot", "/system.yaml.pending"} {
		os.Remove(n.Store + f)
	}
	n.run()
	if c := n.merged(); c.K3OS.Token != "K10secret-token" || !config.Hashed(c.K3OS.Password) {
		t.Errorf("imported twice: %+v", c.K3OS)
	}
}

// TestKeptIsLost takes away what the node had kept, as a failing card or its repair does: the
// settings that stayed on BOOT are in force again, for without them nobody could log in.
func TestKeptIsLost(t *testing.T) {
	for what, spoil := range map[string]func(path string) error{
		"gone":    os.Remove,
		"empty":   func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"zeros":   func(path string) error { return os.WriteFile(path, make([]byte, 100), 0o600) },
		"garbage": func(path string) error { return os.WriteFile(path, []byte("hostname: [\n\xff\xfe"), 0o600) },
		"a directory": func(path string) error {
			return errors.Join(os.Remove(path), os.Mkdir(path, 0o700))
		},
	} {
		n := newNode(t)
		n.put("config.yaml", first)
		n.run()
		if err := spoil(n.Store + "/system.yaml"); err != nil {
			t.Fatal(err)
		}
		problems, err := n.Run()
		if what == "a directory" { // nothing can take its place; it is reported, and costs nothing else
			if err == nil {
				t.Errorf("%s: nothing is reported", what)
			}
			continue
		}
		if err != nil || len(problems) == 0 || problems[0].Severity != config.Error {
			t.Errorf("%s: %v %v", what, problems, err)
		}
		if c := n.merged(); c.Hostname != "node1" || len(c.SSHAuthorizedKeys) != 1 || c.K3OS.Token != "" {
			t.Errorf("%s: %+v", what, c)
		}
		if problems, err := n.Run(); err != nil || len(problems) > 0 {
			t.Errorf("%s: at the boot after that %v %v", what, problems, err)
		}
	}
}

func TestNothingIsBlankedWithoutADurableStore(t *testing.T) {
	n := newNode(t)
	n.Overwrite = nil
	n.put("config.yaml", first)
	n.run()
	if n.boot("config.yaml") != first || n.merged().K3OS.Token != "K10secret-token" {
		t.Error("the secrets are not where they were")
	}
}

func TestLayersOrder(t *testing.T) {
	root := t.TempDir()
	put := func(path, text string) {
		os.MkdirAll(filepath.Dir(root+path), 0o755)
		os.WriteFile(root+path, []byte(text), 0o644)
	}
	put(Store+"/config.d/00-image.yaml", "hostname: image\n")
	want := func(name, cmdline string) {
		t.Helper()
		layers, problems := Layers(root, cmdline)
		c, _ := config.Merge(layers...)
		if c.Hostname != name {
			t.Errorf("hostname %q, want %q (%v)", c.Hostname, name, problems)
		}
	}
	want("image", "")
	put(Store+"/system.yaml", "hostname: main\n")
	want("main", "")
	put(Store+"/config.d/x.yaml", "hostname: part\n")
	want("part", "")
	want("cmdline", "quiet hostname=cmdline")
	put(Local+"/config.yaml", "hostname: local\n")
	want("local", "hostname=cmdline")
	put(Local+"/config.d/any-name", "hostname: last\n")
	want("last", "hostname=cmdline")
	for _, f := range []string{"/config.d/any-name", "/config.yaml"} {
		os.Remove(root + Local + f)
	}
	put("/seed", "hostname: seed\n")
	want("cmdline", "hostname=cmdline")
	want("seed", "hostname=cmdline k3os.data_sources=file=/seed")
	put(Local+"/config.d/any-name", "hostname: last\n")
	want("last", "k3os.data_sources=file=/seed")
	put(Local+"/config.d/zz", "hostname: [\n")
	want("last", "") // one broken file does not cost the others
	layers, problems := Layers(root, "")
	if len(problems) == 0 || len(layers) != 6 {
		t.Errorf("%d layers, %v", len(layers), problems)
	}
}

func FuzzTorn(f *testing.F) {
	f.Add([]byte("token: abc"), []byte("token: xxx"), 4)
	f.Fuzz(func(t *testing.T, original, want []byte, at int) {
		if len(original) != len(want) {
			return
		}
		for i := range want { // what Blank returns: the same, or an x
			if want[i] != original[i] {
				want[i] = 'x'
			}
		}
		at = max(0, min(at, len(want)))
		half := append(bytes.Clone(want[:at]), original[at:]...)
		if !torn(half, want, nil) {
			t.Errorf("%q is on its way to %q", half, want)
		}
	})
}
