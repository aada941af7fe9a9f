package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"imgbuild/init/contract/bootstate"
	"imgbuild/init/contract/diskmap"
	"imgbuild/init/contract/mbr"
	"imgbuild/qemu/long/longrun"
	"imgbuild/qemu/tool"
)

// TestUpgradeCuts is make crash only=upgrade in short: one upgrade through two power cuts. FULL:
// five boots.
func TestUpgradeCuts(t *testing.T) {
	if os.Getenv("IMGBUILD_FULL") == "" {
		return
	}
	t.Chdir("../../..")
	temp, err := tool.Scratch("crash")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { temp.Remove() })
	var out bytes.Buffer
	c := command
	c.Do = func(ctx context.Context, r *longrun.Run) error {
		r.Dir = temp.Path
		return run(ctx, r)
	}
	if err := c.Run(t.Context(), []string{"only=upgrade", "n=2"}, &out); err != nil || !strings.Contains(out.String(), "2 power cuts of upgrades: 2 good, 0 not") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

// The same seed gives the same moments, in the order of an upgrade; all parts and ways have their
// share, and no moment is before its part.
func TestMoments(t *testing.T) {
	count := map[string]int{}
	for i := range 200 {
		all := moments(5, i)
		if !slices.Equal(all, moments(5, i)) || len(all) != cutsPerUpgrade {
			t.Fatalf("upgrade %d: got %+v, then %+v", i, all, moments(5, i))
		}
		for j, m := range all {
			count[parts[m.Part]]++
			count[m.way]++
			if j > 0 && m.Part < all[j-1].Part {
				t.Errorf("upgrade %d: %+v is after %+v", i, m, all[j-1])
			}
			if d := usual.wait(m); d < 0 || d > 30*time.Second {
				t.Errorf("%+v comes after %v", m, d)
			}
		}
	}
	for _, name := range slices.Concat(parts, ways) {
		if count[name] < 40 {
			t.Errorf("%s: %d of 400 moments, want at least 40", name, count[name])
		}
	}
}

// files is a disk as a device of bootstate.
type files struct{ *os.File }

func (f files) Flush() error { return nil }

// TestExamine holds states of a disk against what an upgrade may leave.
func TestExamine(t *testing.T) {
	dir := t.TempDir()
	content := func(seed byte) []byte { return bytes.Repeat([]byte{seed, seed + 1, seed + 2}, 70_000) }
	of := func(name string, data []byte) version {
		return version{name: name, size: int64(len(data)), sum: sha256.Sum256(data)}
	}
	one, two, three := content(1), content(11), content(21)
	a := attempt{from: of("one", one), to: of("two", two), slot: bootstate.B}
	had := of("three", three)
	part := filepath.Join(dir, "part")
	if err := os.WriteFile(part, make([]byte, 4<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd, err := tool.Command(t.Context(), "mke2fs", "-q", "-t", "ext4", part)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	fs, err := os.ReadFile(part)
	if err != nil {
		t.Fatal(err)
	}
	table := mbr.Table{Signature: 7}
	for i, at := range []int64{diskmap.Boot, diskmap.SlotA, diskmap.SlotB, diskmap.Data} {
		size := []int64{diskmap.BootSize, diskmap.SlotSize, diskmap.SlotSize, int64(len(fs))}[i]
		table.Partitions[i] = mbr.Partition{Start: uint32(at / 512), Sectors: uint32(size / 512), Type: []byte{diskmap.TypeBoot, diskmap.TypeSlot, diskmap.TypeSlot, diskmap.TypeData}[i], Active: i == 0}
	}
	sector, err := table.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	armed := bootstate.Fresh(bootstate.A)
	armed.Trial = bootstate.B
	tried := armed
	tried.Left = 2
	done := bootstate.Fresh(bootstate.B)
	done.A = bootstate.Good
	good := bootstate.Fresh(bootstate.A)
	good.B = bootstate.Good
	half := append(slices.Clone(two[:100_000]), make([]byte, 110_000)...)
	torn := append(make([]byte, 512), two[512:]...)
	for name, c := range map[string]struct {
		record bootstate.Record
		a, b   []byte
		change func(*attempt, []byte) // of the attempt and the file system
		phase  string
		wrong  string // empty for nothing
	}{
		"nothing yet":            {bootstate.Fresh(bootstate.A), one, three, nil, "before the first write", ""},
		"being written":          {bootstate.Fresh(bootstate.A), one, torn, nil, "being written", ""},
		"written":                {bootstate.Fresh(bootstate.A), one, two, nil, "written", ""},
		"armed":                  {armed, one, two, nil, "armed", ""},
		"in the trial":           {tried, one, two, nil, "in the trial", ""},
		"committed":              {done, one, two, func(a *attempt, _ []byte) { a.over = true }, "committed", ""},
		"good as before":         {good, one, three, func(a *attempt, _ []byte) { a.had = &had }, "before the first write", ""},
		"good and half":          {good, one, half, func(a *attempt, _ []byte) { a.had = &had }, "", "called good and holds no system"},
		"armed and half":         {armed, one, half, nil, "", "tried and does not hold two"},
		"committed and half":     {done, one, half, nil, "", "committed and does not hold two"},
		"no way back":            {armed, three, two, nil, "", "the way back"},
		"a commit that is lost":  {tried, one, two, func(a *attempt, _ []byte) { a.over = true }, "", "the commit of two is lost"},
		"an arming that is lost": {bootstate.Fresh(bootstate.A), one, two, func(a *attempt, _ []byte) { a.armed = true }, "", "the arming of two is lost"},
		"the data are damaged":   {armed, one, two, func(_ *attempt, fs []byte) { clear(fs[1024:200_000]) }, "", "e2fsck"},
	} {
		attempt, data := a, slices.Clone(fs)
		if c.change != nil {
			c.change(&attempt, data)
		}
		path := filepath.Join(dir, "disk")
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		for at, text := range map[int64][]byte{0: sector[:], diskmap.SlotA: c.a, diskmap.SlotB: c.b, diskmap.Data: data} {
			if _, err := f.WriteAt(text, at); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := bootstate.Store(files{f}, c.record); err != nil {
			t.Fatal(err)
		}
		f.Close()
		got, bad, err := examine(t.Context(), path, attempt)
		if err != nil {
			t.Fatal(err)
		}
		if text := strings.Join(bad, "; "); (text == "") != (c.wrong == "") || !strings.Contains(text, c.wrong) {
			t.Errorf("%s: got %q, want %q", name, text, c.wrong)
		}
		if phase := got.phase(attempt); c.phase != "" && phase != c.phase {
			t.Errorf("%s: got the phase %q, want %q", name, phase, c.phase)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "empty"), make([]byte, diskmap.Data+1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, bad, err := examine(t.Context(), filepath.Join(dir, "empty"), a); err != nil || len(bad) == 0 {
		t.Errorf("a disk without a record: got %v, %v", bad, err)
	}
}

// A connection waits while there is no guest, and reaches the one that comes.
func TestRelay(t *testing.T) {
	echo := func(word string) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				fmt.Fprint(c, word)
				c.Close()
			}
		}()
		return l.Addr().String()
	}
	r, err := newRelay(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ask := func() net.Conn {
		c, err := net.Dial("tcp", r.address())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	read := func(c net.Conn) string {
		text, err := io.ReadAll(c)
		if err != nil {
			t.Error(err)
		}
		return string(text)
	}
	waits := ask()
	r.set(echo("first"))
	if got := read(waits); got != "first" {
		t.Errorf("the one that waited: got %q, want first", got)
	}
	r.set(echo("second"))
	if got := read(ask()); got != "second" {
		t.Errorf("the next guest: got %q, want second", got)
	}
}

func TestWatch(t *testing.T) {
	w, over := newWatch(), make(chan struct{})
	fmt.Fprint(w, "one two")
	next, found, err := w.wait(t.Context(), regexp.MustCompile("one"), 0, over)
	if !found || err != nil || next != 3 {
		t.Errorf("got %d, %v, %v, want 3", next, found, err)
	}
	if _, found, _ := w.wait(t.Context(), regexp.MustCompile("two"), next, over); !found {
		t.Error("two is not found after one")
	}
	go func() {
		fmt.Fprint(w, " three")
		close(over)
	}()
	if _, found, err := w.wait(t.Context(), regexp.MustCompile("three"), next, over); !found || err != nil {
		t.Errorf("what came just before the end: got %v, %v", found, err)
	}
	if _, found, err := w.wait(t.Context(), regexp.MustCompile("four"), 0, over); found || err != nil {
		t.Errorf("what never came: got %v, %v", found, err)
	}
	if w.here() != len("one two three") {
		t.Errorf("got %d", w.here())
	}
}

func TestUpgradeSum(t *testing.T) {
	all := []UpgradeCut{{Phase: "armed", Control: "caught"}, {Phase: "written", Again: 2}, {Phase: "armed", Control: "missed"}, {Phase: "committed", Bad: []string{"x"}}}
	s := sumUp(all)
	want := upgradeSum{cuts: 4, bad: 1, again: 2, controls: 2, caught: 1, at: map[string]int{"armed": 2, "written": 1, "committed": 1}}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("got %+v, want %+v", s, want)
	}
	for _, c := range []struct {
		sum  upgradeSum
		good bool
	}{{s, false}, {sumUp(all[:3]), true}, {upgradeSum{controls: 3}, false}, {upgradeSum{controls: 3, caught: 1}, true}, {upgradeSum{controls: 2}, true}} {
		if err := c.sum.verdict(); (err == nil) != c.good {
			t.Errorf("%+v: %v", c.sum, err)
		}
	}
	if line := s.line(); !strings.Contains(line, "4 power cuts of upgrades: 3 good, 1 not") || !strings.Contains(line, "armed 2") || !strings.Contains(line, "1 of 2 caught") {
		t.Error(line)
	}
}
