package record

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"imgbuild/init/boot/decide"
	"imgbuild/init/contract/bootstate"
)

// disk makes one whose record is r, or that has none.
func disk(t *testing.T, r *bootstate.Record) (*Record, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 16<<20); err != nil {
		t.Fatal(err)
	}
	rec := new(Record)
	rec.On(path)
	if r != nil {
		d, err := bootstate.OpenDisk(path, true)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		if _, err := bootstate.Store(d, *r); err != nil {
			t.Fatal(err)
		}
	}
	return rec, path
}

func trial() *bootstate.Record {
	r := bootstate.Fresh(bootstate.A)
	r.Trial, r.Left = bootstate.B, 2
	return &r
}

func TestNote(t *testing.T) {
	for _, c := range []struct {
		name  string
		start *bootstate.Record
		do    func(*Record) error
		want  bootstate.Record // except for seq
	}{
		{"a reason", trial(), func(r *Record) error { return r.Note(decide.Reason, "ctrl-alt-del") }, bootstate.Record{Active: "a", Trial: "b", Left: 2, A: "good", B: "empty", Last: "ctrl-alt-del"}},
		{"blame", trial(), func(r *Record) error { return r.Note(decide.Blame, "layout failed") }, bootstate.Record{Active: "a", Left: 3, A: "good", B: "bad", Last: "layout-failed"}},
		{"nothing", trial(), func(r *Record) error { return r.Note(decide.Nothing, "x") }, bootstate.Record{Active: "a", Trial: "b", Left: 2, A: "good", B: "empty"}},
		{"healthy", trial(), func(r *Record) error { return r.Healthy("b") }, bootstate.Record{Active: "b", Left: 3, A: "good", B: "good"}},
		{"healthy without a record", nil, func(r *Record) error { return r.Healthy("a") }, bootstate.Record{Active: "a", Left: 3, A: "good", B: "empty"}},
	} {
		rec, _ := disk(t, c.start)
		if err := c.do(rec); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		got, err := rec.Read()
		c.want.V, c.want.Seq = bootstate.Version, got.Seq
		if err != nil || got != c.want {
			t.Errorf("%s: got %+v, %v, want %+v", c.name, got, err, c.want)
		}
	}
}

// A call that changes nothing writes nothing: a card has only so many writes.
func TestNoWrite(t *testing.T) {
	rec, path := disk(t, trial())
	if err := rec.Note(decide.Reason, "power"); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := rec.Note(decide.Reason, "Power"); err != nil {
		t.Error(err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the same reason was written again, %v", err)
	}
	lost, path := disk(t, nil)
	if err := lost.Note(decide.Reason, "power"); err != nil {
		t.Error(err)
	}
	if _, err := lost.Read(); !errors.Is(err, bootstate.ErrNone) {
		t.Errorf("a lost record became one by a reason: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := lost.Healthy("a"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v for a disk that is gone", err)
	}
	if err := new(Record).Note(decide.Reason, "power"); !errors.Is(err, ErrNoDisk) {
		t.Errorf("got %v without a disk, want %v", err, ErrNoDisk)
	}
}

// Goroutines that note things at the same time lose nothing of a commit.
func TestTogether(t *testing.T) {
	rec, _ := disk(t, trial())
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if err := rec.Healthy("b"); err != nil {
				t.Error(err)
			}
		})
		all.Go(func() {
			if err := rec.Note(decide.Reason, "reboot"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got, err := rec.Read(); err != nil || got.Active != "b" || got.Trial != "" || got.B != bootstate.Good {
		t.Errorf("got %+v, %v", got, err)
	}
}
