package main

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"imgbuild/init/contract/fault"
	"imgbuild/qemu/tool"
	"imgbuild/qemu/vm"
)

// TestCrash is make crash in short: the first boot and one after a power cut are recorded, three
// cuts looked at, one of them booted, and the disk that loses flushes must be noticed.
func TestCrash(t *testing.T) {
	temp, err := tool.Scratch("crash") // disks and logs, too much for /tmp
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { temp.Remove() })
	dir := temp.Path
	program := os.Getenv("IMGBUILD")
	if program == "" {
		if out, err := exec.CommandContext(t.Context(), "make", "-s", "-C", "../../..", "bin/imgbuild").CombinedOutput(); err != nil {
			t.Fatalf("make bin/imgbuild: %v\n%s", err, out)
		}
		program = "../../../bin/imgbuild"
	}
	program, err = filepath.Abs(program)
	if err != nil {
		t.Fatal(err)
	}
	key, public, err := vm.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	image, err := build(t.Context(), program, dir, public)
	if err != nil {
		t.Fatal(err)
	}
	if err := Record(t.Context(), image, key, dir, 2, 45, t.Logf); err != nil {
		t.Fatal(err)
	}
	r, areas, err := Load(image, filepath.Join(dir, "writes.log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Log(r.summary(areas))
	for _, area := range []string{"data", "boot record", "partition table", "BOOT/config.yaml", "BOOT/report.txt", "marks"} {
		if areas[area] == 0 {
			t.Errorf("nothing was written to %s: the recording does not hold what it is for", area)
		}
	}
	s := &search{r: r, o: options{n: 3, only: -1, seed: 1}, dir: dir, say: t.Logf, every: 3}
	if err := s.all(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Log(s.line())
	if err := s.verdict(); err != nil {
		t.Error(err)
	}
	if cuts, _, due, booted, controls, caught := s.counts(); cuts != 3 || due == 0 || booted != 1 || controls < 3 || caught == 0 {
		t.Errorf("cuts %d, due %d, booted %d, controls %d, caught %d", cuts, due, booted, controls, caught)
	}
}

// logOf makes a log of entries with their data.
func logOf(unit int, entries ...logged) []byte {
	var b bytes.Buffer
	put := func(values ...uint64) {
		sector := make([]byte, unit)
		for i, v := range values {
			binary.LittleEndian.PutUint64(sector[8*i:], v)
		}
		b.Write(sector)
	}
	put(logMagic, logVersion, uint64(len(entries)), uint64(unit))
	for _, e := range entries {
		put(e.sector, uint64(len(e.data)/unit), e.flags, 0)
		b.Write(e.data)
	}
	return b.Bytes()
}

type logged struct {
	sector, flags uint64
	data          []byte
}

func TestReadLog(t *testing.T) {
	one, two := bytes.Repeat([]byte{1}, 512), bytes.Repeat([]byte{2}, 1024)
	text := logOf(512, logged{5, 0, one}, logged{0, flagFlush, nil}, logged{7, flagFUA, two})
	got, err := ReadLog(bytes.NewReader(text), int64(len(text)))
	want := []Entry{{Offset: 2560, Size: 512, At: 1024}, {At: 2048, Flush: true}, {Offset: 3584, Size: 1024, At: 2560, FUA: true}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v %v", got, err)
	}
	for name, text := range map[string][]byte{
		"empty": nil, "no magic": make([]byte, 4096), "cut short": text[:len(text)-1024-512], "a discard": logOf(512, logged{0, flagDiscard, nil}),
		"an entry too many": slices.Concat(text[:16], []byte{200}, text[17:]),
	} {
		if _, err := ReadLog(bytes.NewReader(text), int64(len(text))); err == nil {
			t.Errorf("%s is read", name)
		}
	}
}

func FuzzReadLog(f *testing.F) {
	f.Add(logOf(512, logged{5, 0, make([]byte, 512)}, logged{0, flagFlush, nil}))
	f.Add(logOf(4096, logged{0, flagMark, nil}))
	f.Fuzz(func(t *testing.T, text []byte) {
		entries, err := ReadLog(bytes.NewReader(text), int64(len(text)))
		if err != nil {
			return
		}
		for _, e := range entries {
			if e.Size < 0 || e.Offset < 0 || e.At+e.Size > int64(len(text))+1<<16 {
				t.Errorf("%+v of %d bytes", e, len(text))
			}
		}
	})
}

// TestState holds what a power cut may leave against what it must.
func TestState(t *testing.T) {
	dir := t.TempDir()
	image, log := filepath.Join(dir, "image"), filepath.Join(dir, "log")
	if err := os.WriteFile(image, make([]byte, 8192), 0o600); err != nil {
		t.Fatal(err)
	}
	sector := func(b byte) []byte { return bytes.Repeat([]byte{b}, 512) }
	text := logOf(512, logged{0, 0, sector(1)}, logged{1, 0, sector(2)}, logged{0, flagFlush, nil}, logged{0, 0, sector(3)}, logged{2, 0, slices.Concat(sector(4), sector(5))})
	if err := os.WriteFile(log, text, 0o600); err != nil {
		t.Fatal(err)
	}
	entries, err := ReadLog(bytes.NewReader(text), int64(len(text)))
	if err != nil {
		t.Fatal(err)
	}
	state := func(c Cut) [4]byte {
		r, err := NewReplayer(image, log, entries, filepath.Join(dir, "durable"), 8192)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if err := r.State(c, filepath.Join(dir, "cut")); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(filepath.Join(dir, "cut"))
		if err != nil {
			t.Fatal(err)
		}
		for i := range 4 {
			if !bytes.Equal(data[512*i:512*i+512], sector(data[512*i])) {
				t.Errorf("%+v: sector %d is torn", c, i)
			}
		}
		return [4]byte{data[0], data[512], data[1024], data[1536]}
	}
	if got := state(Cut{Entry: 5, Way: "nothing"}); got != [4]byte{1, 2, 0, 0} {
		t.Errorf("nothing: %v", got)
	}
	if got := state(Cut{Entry: 5, Way: "everything"}); got != [4]byte{3, 2, 4, 5} {
		t.Errorf("everything: %v", got)
	}
	if got := state(Cut{Entry: 4, Way: "everything"}); got != [4]byte{3, 2, 0, 0} {
		t.Errorf("before the last write: %v", got)
	}
	if got := state(Cut{Entry: 5, Way: "nothing", Lying: true}); got != [4]byte{} {
		t.Errorf("a disk that loses flushes: %v", got)
	}
	seen := map[[4]byte]bool{}
	for seed := range uint64(64) {
		for _, way := range []string{"some", "torn"} {
			got := state(Cut{Entry: 5, Way: way, seed: seed})
			seen[got] = true
			if got[0] != 1 && got[0] != 3 || got[1] != 2 || way == "some" && (got[2] == 4) != (got[3] == 5) {
				t.Errorf("%s: %v", way, got)
			}
		}
	}
	if len(seen) != 8 {
		t.Errorf("%d of the 8 states were seen: %v, want 8", len(seen), seen)
	}
}

func TestCuts(t *testing.T) {
	cuts := Cuts(3, 200, 1000, 5000)
	for i, c := range cuts {
		if c.Entry < 1000+20*i || c.Entry >= 1000+20*i+20 {
			t.Errorf("cut %d at %d", i, c.Entry)
		}
	}
	if !slices.Equal(cuts, Cuts(3, 200, 1000, 5000)) {
		t.Error("the same seed gives other cuts")
	}
}

func TestLost(t *testing.T) {
	good := []byte("seq 7 sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n")
	for _, c := range []struct {
		m    Mark
		data []byte
		lost bool
	}{
		{Mark{Seq: 7}, good, false}, {Mark{Seq: 6}, good, false}, {Mark{Seq: 8}, good, true}, {Mark{Seq: 7}, nil, true}, {Mark{Seq: 7}, append(good, 'x'), true}, {Mark{Seq: 1}, []byte("rubbish"), true},
		{Mark{Size: 4}, []byte("12345"), false}, {Mark{Size: 4}, []byte("123"), true}, {Mark{Size: 4}, []byte("1\x0034"), true},
		{Mark{SHA256: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}, []byte{}, false}, {Mark{SHA256: "e3"}, []byte{}, true},
	} {
		if got := c.m.lost(c.data); (got != "") != c.lost {
			t.Errorf("%+v of %q: %q", c.m, c.data, got)
		}
	}
}

// only= is the number of a cut.
func TestChosen(t *testing.T) {
	for only, want := range map[string]int{"": -1, "0": 0, "17": 17} {
		if got, err := chosen(only); err != nil || got != want {
			t.Errorf("%q: %d, %v", only, got, err)
		}
	}
	for _, only := range []string{"x", "-1", "1.5"} {
		if _, err := chosen(only); fault.Code(err) != int(fault.Usage) {
			t.Errorf("%q: %v, want code %v", only, err, int(fault.Usage))
		}
	}
	if o, err := command.Parse([]string{"n=3", "seed=2", "only=1", "minutes=5"}); err != nil || o.N != 3 || o.Seed != 2 || o.Minutes != 5 {
		t.Errorf("%+v, %v", o, err)
	}
}
