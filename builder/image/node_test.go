package image

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"imgbuild/builder/recipe"
	"imgbuild/init/contract/archive"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/ext4"
	"imgbuild/init/contract/fault"
)

var meta = archive.Meta{Mode: 0o640, UID: 7, GID: 70000, Time: time.Unix(1500000000, 0)}

// nodeArchive writes an archive and returns its name.
func nodeArchive(t testing.TB, name string, h archive.Header, fill func(*archive.Writer) error) string {
	t.Helper()
	name = filepath.Join(t.TempDir(), name)
	if err := archive.Create(name, h, fill); err != nil {
		t.Fatal(err)
	}
	return name
}

func text(w *archive.Writer, name, content string) error {
	return w.File(name, meta, int64(len(content)), strings.NewReader(content))
}

func moving(w *archive.Writer) error {
	return errors.Join(
		text(w, "k3os/data/var/lib/rancher/k3os/hostname", "pi\n"),
		text(w, "k3os/config/system.yaml", "hostname: pi\n"),
		text(w, "k3os/config/system.yaml.boot", "hostname: xx\n"),
		text(w, "k3os/config/config.d/10-connman.yaml", "network: {dns: [1.1.1.1]}\n"),
		text(w, "k3os/config/config.d/00-image.yaml", "shelf: {board: old}\n"),
		w.Dir("k3os/data/var/lib/rancher/k3s", archive.Meta{Mode: 0o751}),
		text(w, "k3os/data/var/lib/rancher/k3s/storage/a/file", strings.Repeat("volume", 50000)),
		w.Link("k3os/data/a-link", "k3os/data/var/lib/rancher/k3s/storage/a/file"),
		w.Symlink("k3os/data/soft", "/etc/passwd", meta),
		w.Dir("k3os/config", archive.Meta{Mode: 0o777}))
}

func plan(t testing.TB, role string) *recipe.Asked {
	t.Helper()
	r, err := recipe.New("rpi4", role, recipe.Choice{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestNodeEntries writes an archive to a file system and reads it back.
func TestNodeEntries(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"n.tar", "n.tar.zst"} {
		n, err := OpenNode(nodeArchive(t, name, archive.Header{Kind: archive.Migrate, Role: "server"}, moving), archive.Migrate, plan(t, "server"), t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		if string(n.Config) != "hostname: pi\n" || len(n.Parts) != 1 || n.Files != 5 {
			t.Errorf("%s: config %q, parts %q, %d files", name, n.Config, n.Parts, n.Files)
		}
		img := filepath.Join(t.TempDir(), "p4.img")
		f, err := os.Create(img)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		o := ext4.Options{Size: dataSize, UUID: [16]byte{1}, HashSeed: [16]byte{2}, Time: 1760000000}
		if err := errors.Join(f.Truncate(o.Size), ext4.Write(f, o, append(dataEntries(), n.entries()...))); err != nil {
			t.Fatal(err)
		}
		r, err := ext4.NewReader(f, o.Size)
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{
			"k3os/config":                                  "1 700 0:0 1760000000",
			"k3os/data/var/lib/rancher/k3os":               "1 700 0:0 1760000000",
			"k3os/data/var/lib/rancher/k3s":                "1 751 0:0 1760000000",
			"k3os/data/var/lib/rancher/k3os/hostname":      "2 640 7:70000 1500000000",
			"k3os/data/var/lib/rancher/k3s/storage/a/file": "2 640 7:70000 1500000000",
			"k3os/data/a-link":                             "2 640 7:70000 1500000000",
			"k3os/data/soft":                               "3 777 7:70000 1500000000",
			"k3os/config/system.yaml":                      "",
			"k3os/config/system.yaml.boot":                 "",
			"k3os/config/config.d":                         "",
		} {
			got := ""
			if i, err := r.Lookup(name); err != nil {
				t.Error(err)
			} else if i != nil {
				got = fmt.Sprintf("%d %o %d:%d %d", i.Kind, i.Mode, i.UID, i.GID, i.Time.Unix())
			}
			if got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		i, _ := r.Lookup("k3os/data/a-link")
		if data, err := io.ReadAll(r.Content(i)); err != nil || string(data) != strings.Repeat("volume", 50000) || i.Links != 2 {
			t.Errorf("%d bytes, %v", len(data), err)
		}
		warnings := n.Replace([]byte("network: {dns: [9.9.9.9]}\n"))
		if n.Config != nil || len(n.Parts) != 0 || len(warnings) != 2 {
			t.Errorf("a configuration of the user's: %v", warnings)
		}
	}
}

// A configuration in k3OS's usual place goes onto BOOT from an archive of migrate, is looked at
// in a backup, and gives way to config=.
func TestNodeUsualPlace(t *testing.T) {
	t.Parallel()
	const key = "ssh_authorized_keys: [github:me]\n"
	fill := func(main string) func(*archive.Writer) error {
		return func(w *archive.Writer) error {
			err := errors.Join(text(w, localMain, "hostname: usual\n"+key), text(w, localParts+"b c.yaml", "hostname: part-b\n"), text(w, localParts+"a", "hostname: part-a\n"),
				text(w, "k3os/data/var/lib/rancher/k3os/hostname", "pi\n"))
			if main != "" {
				err = errors.Join(err, text(w, "k3os/config/system.yaml", main))
			}
			return err
		}
	}
	for _, c := range []struct {
		kind, main string
		want       []string // names of the sources
		laid       bool     // on the data partition
	}{
		{archive.Migrate, "", []string{"config.yaml", "config.d/95-k3os-a.yaml", "config.d/95-k3os-b_c.yaml"}, false},
		{archive.Migrate, "hostname: system\n", []string{"config.yaml", "config.d/90-k3os.yaml", "config.d/95-k3os-a.yaml", "config.d/95-k3os-b_c.yaml"}, false},
		{archive.Backup, "hostname: system\n", []string{"config.yaml", "config.yaml", "config.d/a", "config.d/b c.yaml"}, true},
	} {
		n, err := OpenNode(nodeArchive(t, "n.tar", archive.Header{Kind: c.kind, Role: "server"}, fill(c.main)), c.kind, plan(t, "server"), t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		var got []string
		for _, s := range n.Sources() {
			got = append(got, s.Name)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s %q: got the sources %q, want %q", c.kind, c.main, got, c.want)
		}
		laid := func() bool {
			return slices.ContainsFunc(n.entries(), func(e ext4.Entry) bool { return e.Path == localMain })
		}
		if laid() != c.laid {
			t.Errorf("%s: on the data partition: got %v, want %v", c.kind, laid(), c.laid)
		}
		if warnings, err := CheckConfig("it", plan(t, "server"), true, n); err != nil || strings.Contains(strings.Join(warnings, "\n"), config.NobodyCanLogIn) {
			t.Errorf("%s: got %v %q, want no complaint about logging in", c.kind, err, warnings)
		}
		if c.kind == archive.Migrate && c.main == "" && string(n.Config) != "hostname: usual\n"+key {
			t.Errorf("BOOT's config.yaml is %q", n.Config)
		}
		if n.Replace([]byte("hostname: mine\n")); len(n.Sources()) != 0 || laid() {
			t.Errorf("%s with config=: %d sources are left, want none; on the data partition: %v", c.kind, len(n.Sources()), laid())
		}
	}
}

// A backup's data disk may be what was lost: its number is put where the node takes it as a
// question, not as an answer.
func TestRestoredDataDisk(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]string{archive.Backup: restoredDisk, archive.Migrate: knownDisk} {
		n, err := OpenNode(nodeArchive(t, "n.tar", archive.Header{Kind: kind, Role: "server"}, func(w *archive.Writer) error {
			return errors.Join(text(w, knownDisk, `{"id":"aa"}`), text(w, "k3os/data/var/lib/rancher/k3s/server/token", "t"))
		}), kind, plan(t, "server"), t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		var found []string
		for _, e := range n.entries() {
			if strings.Contains(e.Path, "data-disk") {
				found = append(found, e.Path)
			}
		}
		if len(found) != 1 || found[0] != want || n.Disk != (kind == archive.Backup) {
			t.Errorf("%s: %q, %v", kind, found, n.Disk)
		}
	}
}

// A server that moves in brings the version of its data for the node, and the token that the
// configuration may not change.
func TestRestoredK3s(t *testing.T) {
	t.Parallel()
	const dir = "k3os/data/var/lib/rancher/k3s"
	h := archive.Header{Kind: archive.Backup, Role: "server", K3s: "v1.34.2+k3s1", Contents: []string{archive.Datastore}}
	n, err := OpenNode(nodeArchive(t, "n.tar", h, func(w *archive.Writer) error {
		return errors.Join(text(w, dir+"/server/token", "K10aa::server:a-long-word\n"), text(w, dir+"/.shelf-k3s", "v1.20.0+k3s1\n"))
	}), archive.Backup, plan(t, "server"), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	var notes []string
	for _, e := range n.entries() {
		if e.Path == dir+"/.shelf-k3s" {
			r, err := e.Open()
			if err != nil {
				t.Fatal(err)
			}
			data, err := io.ReadAll(r)
			notes = append(notes, fmt.Sprint(string(data), err, e.Size == int64(len(data))))
		}
	}
	if want := []string{"v1.34.2+k3s1\n<nil> true"}; !slices.Equal(notes, want) {
		t.Errorf("notes: got %q, want %q", notes, want)
	}
	for token, code := range map[string]int{"a-long-word": 0, "another-word": int(fault.Input)} {
		if _, err := CheckConfig("it", plan(t, "server"), true, n, Source{"c.yaml", []byte("k3os: {token: " + token + "}\n")}); fault.Code(err) != code {
			t.Errorf("token %s: got %v, want code %d", token, err, code)
		}
	}
}

// TestNodeRefused: what does not belong into an image is refused before anything is built, with a
// way out.
func TestNodeRefused(t *testing.T) {
	t.Parallel()
	one := func(name string) func(*archive.Writer) error {
		return func(w *archive.Writer) error { return text(w, name, "x") }
	}
	dir := t.TempDir()
	whole, err := os.ReadFile(nodeArchive(t, "n.tar.zst", archive.Header{Kind: archive.Backup}, moving))
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(dir, "cut.tar.zst")
	if err := os.WriteFile(cut, whole[:len(whole)-20], 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, file, kind, role, says string
	}{
		{"kind", nodeArchive(t, "a.tar", archive.Header{Kind: archive.Backup, Role: "server"}, moving), archive.Migrate, "server", "use restore="},
		{"other kind", nodeArchive(t, "a.tar", archive.Header{Kind: archive.Migrate, Role: "server"}, moving), archive.Backup, "server", "use import="},
		{"role", nodeArchive(t, "a.tar", archive.Header{Kind: archive.Backup, Role: "server"}, moving), archive.Backup, "worker", "role=server"},
		{"place", nodeArchive(t, "a.tar", archive.Header{Kind: archive.Migrate}, one("etc/passwd")), archive.Migrate, "server", "no place"},
		{"data a file", nodeArchive(t, "a.tar", archive.Header{Kind: archive.Migrate}, one("k3os/data")), archive.Migrate, "server", "not a directory"},
		{"config a link", nodeArchive(t, "a.tar", archive.Header{Kind: archive.Migrate}, func(w *archive.Writer) error {
			return w.Symlink("k3os/config/system.yaml", "/etc/shadow", meta)
		}), archive.Migrate, "server", "not a configuration"},
		{"cut off", cut, archive.Backup, "server", "again"},
		{"missing", filepath.Join(dir, "none"), archive.Backup, "server", "does not exist"},
	} {
		n, err := OpenNode(c.file, c.kind, plan(t, c.role), dir)
		if n != nil && err != nil || fault.Code(err) != int(fault.Input) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %d %v", c.name, fault.Code(err), err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); left != nil {
		t.Errorf("left behind: %v, want nil", left)
	}
	server := &Node{Header: archive.Header{K3s: "v1.30.1+k3s1", Contents: []string{archive.Datastore}}}
	if _, err := server.CheckK3s("v1.35.0+k3s1"); fault.Code(err) != int(fault.Input) || !strings.Contains(err.Error(), "v1.31, v1.32, v1.33, v1.34") {
		t.Errorf("a jump: %v", err)
	}
	if w, err := server.CheckK3s("v1.31.0+k3s1"); err != nil || w != "" {
		t.Errorf("one minor version: %q %v, want %q", w, err, "")
	}
	if w, err := server.CheckK3s("file-12345678"); err != nil || w == "" {
		t.Errorf("an unknown version: %q %v", w, err)
	}
}

// TestFit: the data partition of an image grows with what is written to it.
func TestFit(t *testing.T) {
	o := ext4.Options{Size: dataSize, MaxSize: dataMax, UUID: [16]byte{1}, HashSeed: [16]byte{2}, Journal: journalSize}
	zeros := func(size int64) []ext4.Entry {
		return append(dataEntries(), ext4.Entry{Path: "k3os/big", Kind: ext4.File, Size: size, Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(nil)), nil }})
	}
	for _, c := range []struct{ content, least, most int64 }{
		{0, dataSize, dataSize},
		{100 * mib, dataSize, dataSize},
		{1 << 30, 1<<30 + journalSize + dataSpare, 2 << 30},
		{100 << 30, 100 << 30, 110 << 30},
	} {
		size, err := ext4.Fit(o, zeros(c.content), dataSpare)
		if err != nil || size < c.least || size > c.most {
			t.Errorf("%d bytes: %d, %v", c.content, size, err)
		}
	}
	if _, err := ext4.Fit(o, zeros(3<<40), dataSpare); !errors.Is(err, ext4.ErrFull) {
		t.Errorf("more than a disk has: %v", err)
	}
	var many []ext4.Entry
	for i := range 50000 {
		many = append(many, ext4.Entry{Path: fmt.Sprint("f", i), Kind: ext4.File})
	}
	if size, err := ext4.Fit(o, many, dataSpare); err != nil || size <= dataSize {
		t.Errorf("many files want inodes: %d, %v", size, err)
	}
}
