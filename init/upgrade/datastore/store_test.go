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

	"imgbuild/init/contract/bootstate"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/k3sstep"
)

// errCut is what a power cut looks like to the caller.
var errCut = errors.New("the power failed")

// memory is a directory in memory, where there is one: thousands of flushes take minutes on a disk.
func memory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "datastore")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// tree is what k3s would find: every file below server, and the note.
func tree(t *testing.T, data string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(data, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(data, path)
		if e.IsDir() && (rel == dirName || strings.Contains(rel, ".before-")) {
			return fs.SkipDir
		}
		if e.Type().IsRegular() {
			text, err := os.ReadFile(path)
			all[rel] = string(text)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// server writes the data of one, written by k3s of a version.
func server(t *testing.T, data, version, content string) {
	t.Helper()
	for name, text := range map[string]string{
		"server/db/state.db": content + "-db", "server/db/state.db-wal": content + "-wal", "server/db/etcd/config": content + "-etcd", "server/db/etcd/member/wal/0.wal": content + "-raft",
		"server/token": "token", "server/tls/ca.crt": "ca", k3sstep.NoteName: version + "\n",
	} {
		put(t, filepath.Join(data, name), text)
	}
	put(t, filepath.Join(data, "server/db/snapshots/s"), "snapshot")
}

const (
	from = "v1.34.1+k3s1"
	to   = "v1.35.0+k3s1"
)

// boot is one start of k3s on a system: what package boot does with the record, and what k3s does
// with the data.
func boot(t *testing.T, s Store, bundle string, trial bool, state string) error {
	t.Helper()
	st, err := s.Observe()
	if err != nil {
		return err
	}
	st.Bundle, st.Trial, st.Read, st.Armed, st.State = bundle, trial, true, trial, state
	return s.Carry(t.Context(), st)
}

// A whole life: written between arming and reboot, copied, used by the trial, put back; the power
// fails at each step, and once more at each step of what follows.
func TestFallbackThroughPowerCuts(t *testing.T) {
	for kind, most := range map[Kind]int{SQLite: 6, Etcd: 1} {
		steps := life(t, kind, 0, 0)
		if steps < 12 {
			t.Fatalf("%s: only %d steps", kind, steps)
		}
		for first := 1; first <= steps; first++ {
			for second := 0; second <= most; second++ {
				life(t, kind, first, second)
			}
		}
	}
}

// life runs it with the power failing at one step and, if again is not 0, that many steps later
// once more. It returns the number of steps.
func life(t *testing.T, kind Kind, first, again int) int {
	t.Helper()
	name := fmt.Sprintf("%s, cut at %d and %d", kind, first, again)
	data := memory(t)
	n := 0
	s := Store{Data: data, at: func(string) error {
		if n++; n == first || again > 0 && n == first+again {
			return errCut
		}
		return nil
	}}
	// A function that is cut off is called again, by the next boot.
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
	server(t, data, from, "armed")
	plan := Plan{Bundle: "new", Slot: "b", From: from, To: to, Kind: kind, Copy: true}
	do("arm", func() error { return s.Arm(plan) })
	server(t, data, from, "stopped") // written between arming and the reboot
	want := tree(t, data)
	if first%2 == 0 { // the other half of the cuts comes without the copy at the reboot
		_ = s.Leave(t.Context())
	}
	do("trial", func() error { return boot(t, s, "new", true, bootstate.Empty) })
	server(t, data, to, "trial")
	do("second attempt", func() error { return boot(t, s, "new", true, bootstate.Empty) })
	do("fallback", func() error { return boot(t, s, "old", false, bootstate.Bad) })
	got := tree(t, data)
	for name := range want { // of what is not the datastore the trial's stays
		if kind == Etcd && strings.HasPrefix(name, "server/db/state") {
			want[name] = got[name]
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%s: k3s finds %v, want %v", name, got, want)
	}
	aside := filepath.Join(data, plan.unit()+BeforeFallback)
	replaced := map[Kind]string{SQLite: "state.db", Etcd: "member/wal/0.wal"}[kind]
	if text, err := os.ReadFile(filepath.Join(aside, replaced)); err != nil || !strings.HasPrefix(string(text), "trial") {
		t.Fatalf("%s: what was replaced is %q, %v", name, text, err)
	}
	if _, err := os.Lstat(s.path()); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("%s: left behind: %v", name, err)
	}
	do("a boot later", func() error { return boot(t, s, "old", false, bootstate.Bad) })
	if got := tree(t, data); !reflect.DeepEqual(got, want) {
		t.Fatalf("%s: a boot later k3s finds %v, want %v", name, got, want)
	}
	return n
}

// What a committed trial has written stays, whatever fails later.
func TestCommitted(t *testing.T) {
	for _, later := range []struct {
		name, bundle, state string
	}{{"three power cuts a day later", "new", bootstate.Good}, {"the other slot all the same", "old", bootstate.Bad}} {
		data := memory(t)
		s := Store{Data: data}
		server(t, data, from, "before")
		if err := errors.Join(s.Arm(Plan{Bundle: "new", Slot: "b", From: from, To: to, Kind: SQLite, Copy: true}), s.Leave(t.Context()), boot(t, s, "new", true, bootstate.Empty)); err != nil {
			t.Fatal(err)
		}
		server(t, data, to, "committed")
		want := tree(t, data)
		if err := s.Committed("new"); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if err := boot(t, s, later.bundle, false, later.state); err != nil {
				t.Errorf("%s: %v", later.name, err)
			}
		}
		if got := tree(t, data); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, want %v", later.name, got, want)
		}
	}
}

// A copy that is damaged is not put back, and what the trial left is not touched.
func TestDamagedCopy(t *testing.T) {
	for name, damage := range map[string]func(s Store) error{
		"another byte": func(s Store) error { return os.WriteFile(s.path(copyName, "state.db"), []byte("stopped-dB"), 0o600) },
		"cut":          func(s Store) error { return os.Truncate(s.path(copyName, "state.db"), 3) },
		"gone":         func(s Store) error { return os.Remove(s.path(copyName, "state.db-wal")) },
		"sums":         func(s Store) error { return os.WriteFile(s.path(sumsName), []byte("["), 0o600) },
	} {
		data := memory(t)
		s := Store{Data: data}
		server(t, data, from, "stopped")
		if err := errors.Join(s.Arm(Plan{Bundle: "new", Slot: "b", From: from, To: to, Kind: SQLite, Copy: true}), s.Leave(t.Context()), boot(t, s, "new", true, bootstate.Empty)); err != nil {
			t.Fatal(err)
		}
		server(t, data, to, "trial")
		want := tree(t, data)
		if err := damage(s); err != nil {
			t.Fatal(err)
		}
		if err := boot(t, s, "old", false, bootstate.Bad); fault.Code(err) != int(fault.Verify) {
			t.Errorf("%s: got %v", name, err)
		}
		if got := tree(t, data); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}

// Without a record nobody knows, and the copy is kept for people.
func TestAside(t *testing.T) {
	data := memory(t)
	s := Store{Data: data}
	server(t, data, from, "stopped")
	if err := errors.Join(s.Arm(Plan{Bundle: "new", Slot: "b", From: from, To: to, Kind: SQLite, Copy: true}), s.Leave(t.Context()), boot(t, s, "new", true, bootstate.Empty)); err != nil {
		t.Fatal(err)
	}
	server(t, data, to, "trial")
	st, err := s.Observe()
	if err != nil {
		t.Fatal(err)
	}
	st.Bundle = "old"
	if err := s.Carry(t.Context(), st); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(s.path()+".aside", copyName, "state.db")); err != nil || string(text) != "stopped-db" {
		t.Errorf("got %q, %v", text, err)
	}
	if text, err := os.ReadFile(filepath.Join(data, "server/db/state.db")); err != nil || string(text) != "trial-db" {
		t.Errorf("got %q, %v", text, err)
	}
	if p, err := s.Plan(); p != nil || err != nil {
		t.Errorf("the plan is left: %+v, %v, want nil", p, err)
	}
}
