package datastore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"imgbuild/init/contract/archive"
	"imgbuild/init/contract/bootstate"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/k3sstep"
)

const snapshot = "server/db/shelf-snapshot/shelf-1"

// backupFiles are the files of a backup below server.
func backupFiles(kind Kind) map[string]string {
	files := map[string]string{"token": "K10x::server:secret\n", "tls/ca.crt": "backup-ca"}
	if kind == Etcd {
		files["db/shelf-snapshot/shelf-1"] = "backup-snapshot"
	} else {
		files["db/state.db"] = "backup-db"
	}
	return files
}

// A server goes back with a backup, through the power failing at one step and once more later: it
// runs with the backup's data; if it falls back, with those from before, every byte; if it is
// committed, with what it has written.
func TestBringThroughPowerCuts(t *testing.T) {
	for _, committed := range []bool{false, true} {
		for kind, most := range map[Kind]int{SQLite: 4, Etcd: 4} {
			steps := bringLife(t, kind, committed, 0, 0)
			if steps < 12 {
				t.Fatalf("%s: only %d steps", kind, steps)
			}
			for first := 1; first <= steps; first++ {
				for second := 0; second <= most; second++ {
					bringLife(t, kind, committed, first, second)
				}
			}
		}
	}
}

// bringLife is life with a backup; it gives the number of steps.
func bringLife(t *testing.T, kind Kind, committed bool, first, again int) int {
	t.Helper()
	name := fmt.Sprintf("%s, committed %v, cut at %d and %d", kind, committed, first, again)
	data := memory(t)
	n := 0
	s := Store{Data: data, Note: filepath.Join(data, "notes", "reset"), at: func(string) error {
		if n++; n == first || again > 0 && n == first+again {
			return errCut
		}
		return nil
	}}
	do := func(what string, f func() error) {
		t.Helper()
		for range 4 {
			err := f()
			if err == nil {
				return
			}
			if !errors.Is(err, errCut) {
				t.Fatalf("%s: %s: %v", name, what, err)
			}
		}
		t.Fatalf("%s: %s does not come to an end", name, what)
	}
	server(t, data, to, "armed")
	plan := Plan{Bundle: "before", Slot: "b", From: to, To: from, Kind: kind, Copy: true, Bring: true}
	if kind == Etcd {
		plan.Reset = snapshot
	}
	do("arm", func() error { // what was cut off is not armed: people run it again
		for rel, text := range backupFiles(kind) {
			put(t, filepath.Join(s.staged(), rel), text)
		}
		return s.Arm(plan)
	})
	server(t, data, to, "stopped")
	want := tree(t, data)
	if first%2 == 0 {
		_ = s.Leave(t.Context())
	}
	do("trial", func() error { return boot(t, s, "before", true, bootstate.Empty) })
	got := tree(t, data)
	for rel, text := range backupFiles(kind) {
		if got["server/"+rel] != text {
			t.Fatalf("%s: the trial finds %q in %s, want %q", name, got["server/"+rel], rel, text)
		}
	}
	if _, ok := got["server/db/etcd/config"]; ok || got[k3sstep.NoteName] != from+"\n" || got["server/db/snapshots/s"] != "snapshot" || (got["notes/reset"] == snapshot+"\n") != (kind == Etcd) {
		t.Fatalf("%s: the trial finds %v", name, got)
	}
	// k3s makes etcd, and goes on.
	if err := os.RemoveAll(s.Note); err != nil {
		t.Fatal(err)
	}
	server(t, data, from, "trial")
	wrote := tree(t, data)
	do("second attempt", func() error { return boot(t, s, "before", true, bootstate.Empty) })
	if got := tree(t, data); !reflect.DeepEqual(got, wrote) {
		t.Fatalf("%s: the second attempt finds %v, want %v", name, got, wrote)
	}
	aside := filepath.Join(data, "server"+BeforeFallback, "db/state.db")
	if committed {
		want, aside = wrote, filepath.Join(data, "server"+BeforeRollback, "db/state.db")
		do("commit", func() error { return s.Committed("before") })
		do("boot after it", func() error { return boot(t, s, "before", false, bootstate.Good) })
	} else {
		do("fallback", func() error { return boot(t, s, "now", false, bootstate.Bad) })
	}
	if got := tree(t, data); !reflect.DeepEqual(got, want) {
		t.Fatalf("%s: k3s finds %v, want %v", name, got, want)
	}
	replaced := "trial-db"
	if committed {
		replaced = "stopped-db"
	}
	if text, err := os.ReadFile(aside); err != nil || string(text) != replaced {
		t.Fatalf("%s: what was replaced is %q, %v, want %q", name, text, err, replaced)
	}
	for _, path := range []string{s.path(), s.staged()} {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("%s: left behind: %s, %v", name, path, err)
		}
	}
	return n
}

// backup writes an archive with some files of k3s' data directory.
func backup(t *testing.T, data string, h archive.Header, files map[string]string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "node-1.tar.zst")
	h.Created = time.Unix(1, 0)
	err := archive.Create(name, h, func(w *archive.Writer) error {
		m := archive.Meta{Mode: 0o600, UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}
		for rel, text := range files {
			if err := w.File("k3os/data"+filepath.Join("/", rel), m, int64(len(text)), strings.NewReader(text)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// A whole backup of this server is staged, and nothing else is touched.
func TestStage(t *testing.T) {
	const reset = "/var/lib/shelf/etcd-restore"
	good := archive.Header{Kind: archive.Backup, Hostname: "Node", Role: "server", K3s: from, Contents: []string{archive.Identity, archive.Datastore}}
	for _, kind := range []Kind{SQLite, Etcd} {
		data := memory(t)
		s := Store{Data: data}
		files := map[string]string{"/var/lib/shelf/machine-id": "id", filepath.Join(data, "serverless"): "no"}
		for rel, text := range backupFiles(kind) {
			files[filepath.Join(data, "server", rel)] = text
		}
		want := Backup{K3s: from, Token: "K10x::server:secret"}
		if kind == Etcd {
			files[reset], want.Reset = snapshot+"\n", snapshot
		}
		server(t, data, to, "now")
		before := tree(t, data)
		put(t, filepath.Join(s.staged(), "db/state.db"), "of a run before")
		file := backup(t, data, good, files)
		b, err := s.Stage(t.Context(), file, "node", reset)
		if err != nil || b != want {
			t.Fatalf("%s: got %+v, %v", kind, b, err)
		}
		got := tree(t, s.staged())
		if !reflect.DeepEqual(got, backupFiles(kind)) {
			t.Errorf("%s: staged %v", kind, got)
		}
		if err := s.Unstage(); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		with := func(change func(*archive.Header)) archive.Header {
			h := good
			change(&h)
			return h
		}
		without := func(suffix string) map[string]string {
			list := map[string]string{}
			for name, text := range files {
				if !strings.HasSuffix(name, suffix) {
					list[name] = text
				}
			}
			return list
		}
		elsewhere := map[string]string{}
		for rel, text := range backupFiles(kind) {
			elsewhere["/elsewhere/server/"+rel] = text
		}
		for name, file := range map[string]string{
			"another node":    backup(t, data, with(func(h *archive.Header) { h.Hostname = "other" }), files),
			"another kind":    backup(t, data, with(func(h *archive.Header) { h.Kind = archive.Migrate }), files),
			"no datastore":    backup(t, data, with(func(h *archive.Header) { h.Contents = nil }), files),
			"no database":     backup(t, data, good, without(map[Kind]string{SQLite: "state.db", Etcd: "shelf-1"}[kind])),
			"no certificates": backup(t, data, good, without("ca.crt")),
			"elsewhere":       backup(t, data, good, elsewhere),
			"cut":             cut(t, text),
			"no file":         filepath.Join(data, "no"),
		} {
			if _, err := s.Stage(t.Context(), file, "node", reset); fault.Code(err) != int(fault.Input) {
				t.Errorf("%s, %s: got %v", kind, name, err)
			}
			for _, path := range []string{s.staged(), s.staged() + ".part"} {
				if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%s, %s: left behind: %s", kind, name, path)
				}
			}
		}
		if got := tree(t, data); !reflect.DeepEqual(got, before) {
			t.Errorf("%s: the data are %v, were %v", kind, got, before)
		}
	}
}

func cut(t *testing.T, text []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "cut")
	if err := os.WriteFile(name, text[:len(text)-20], 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestBack(t *testing.T) {
	const size = 100 << 20
	const enough = size + size/4 + 32<<20
	for _, c := range []struct {
		name string
		b    Back
		code int
	}{
		{"across a minor version", Back{Kind: SQLite, Data: from, To: from, Size: size, Free: enough}, 0},
		{"data of the minor version before", Back{Kind: SQLite, Data: "v1.33.9+k3s1", To: from, Size: size, Free: enough}, 0},
		{"data of two before", Back{Kind: SQLite, Data: "v1.32.9+k3s1", To: from, Size: size, Free: enough}, int(fault.Input)},
		{"data of after the upgrade", Back{Kind: SQLite, Data: to, To: from, Size: size, Free: enough}, int(fault.Input)},
		{"data of nobody knows what", Back{Kind: SQLite, To: from, Size: size, Free: enough}, 0},
		{"etcd", Back{Kind: Etcd, Etcd: true, Data: from, To: from, Size: size, Free: enough}, 0},
		{"a snapshot of etcd for SQLite", Back{Kind: SQLite, Etcd: true, Data: from, To: from, Size: size, Free: enough}, int(fault.Input)},
		{"SQLite for etcd", Back{Kind: Etcd, Data: from, To: from, Size: size, Free: enough}, int(fault.Input)},
		{"several servers", Back{Kind: Several, Etcd: true, Data: from, To: from, Free: enough}, int(fault.Input)},
		{"elsewhere", Back{Kind: External, Data: from, To: from, Free: enough}, int(fault.Input)},
		{"no data", Back{Kind: None, Data: from, To: from, Free: enough}, int(fault.Input)},
		{"too little space", Back{Kind: SQLite, Data: from, To: from, Size: size, Free: enough - 1}, int(fault.Device)},
	} {
		unknown, err := c.b.Decide()
		if fault.Code(err) != c.code || (unknown != "") != (c.b.Data == "") {
			t.Errorf("%s: got %q, %v; want code %d", c.name, unknown, err, c.code)
		}
	}
}
