package care

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestTrimDue(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	ago := func(days int) time.Time { return now.AddDate(0, 0, -days) }
	for name, c := range map[string]struct {
		r     Record
		known bool
		want  bool
	}{
		"nothing known":            {Record{}, true, false},
		"new disk":                 {Record{Begun: ago(1)}, true, false},
		"never, for a week":        {Record{Begun: ago(7)}, true, true},
		"yesterday":                {Record{Begun: ago(90), Trimmed: ago(1)}, true, false},
		"a week ago":               {Record{Begun: ago(90), Trimmed: ago(7)}, true, true},
		"a week ago, time unknown": {Record{Begun: ago(90), Trimmed: ago(7)}, false, false},
	} {
		if got := TrimDue(c.r, now, c.known); got != c.want {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

// A disk takes reports about free blocks if its queue does; a partition's queue is its disk's.
func TestTrimmable(t *testing.T) {
	sys := t.TempDir()
	for disk, limit := range map[string]string{"sda": "2147450880", "sdb": "0"} {
		dev := filepath.Join(sys, "devices/x/block", disk)
		if err := os.MkdirAll(filepath.Join(dev, disk+"1"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(dev, "queue"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dev, "queue/discard_max_bytes"), []byte(limit+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(sys, "class/block"), 0o755); err != nil {
			t.Fatal(err)
		}
		for name, dir := range map[string]string{disk: dev, disk + "1": filepath.Join(dev, disk+"1")} {
			if err := os.Symlink(dir, filepath.Join(sys, "class/block", name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for path, want := range map[string]bool{"/dev/sda": true, "/dev/sda1": true, "/dev/sdb": false, "/dev/sdb1": false, "/dev/sdc": false} {
		if got := trimmable(sys, path); got != want {
			t.Errorf("%s: got %v, want %v", path, got, want)
		}
	}
}

// What a person should know is reported once each, and what loses data is bad.
func TestTroubles(t *testing.T) {
	good := State{Space: Space{Size: 1000 << 30, Unallocated: 500 << 30, Free: 600 << 30, MetadataSize: 1 << 30}, Errors: []Errors{{Device: "1"}}, Smart: []Smart{{Device: "/dev/sda", Known: true, Passed: true}}}
	if got := good.Troubles("media"); len(got) > 0 {
		t.Errorf("a good disk: got %v, want none", got)
	}
	for name, c := range map[string]struct {
		change func(*State)
		want   string
		bad    bool
	}{
		"lost":   {func(s *State) { s.Scrub.Uncorrectable = 2 }, "2 damaged blocks", true},
		"errors": {func(s *State) { s.Errors = []Errors{{Device: "1", Read: 1}} }, "1 of reading", false},
		"warns": {func(s *State) {
			s.Smart = []Smart{{Device: "/dev/sda", Known: true, Passed: true, Warnings: []string{"worn"}}}
		}, "/dev/sda: worn", false},
		"will fail": {func(s *State) {
			s.Smart = []Smart{{Device: "/dev/sda", Known: true, Warnings: []string{"it expects to fail"}}}
		}, "expects to fail", true},
		"full": {func(s *State) { s.Space.Free, s.Space.Unallocated = 1<<30, 0 }, "nearly full", false},
	} {
		s := good
		c.change(&s)
		got := s.Troubles("media")
		if len(got) != 1 || !strings.Contains(got[0].Text, c.want) || !strings.HasPrefix(got[0].Text, "disk media: ") || got[0].Bad != c.bad {
			t.Errorf("%s: got %v, want %q, bad %v", name, got, c.want, c.bad)
		}
	}
}
