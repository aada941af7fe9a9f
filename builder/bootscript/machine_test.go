package bootscript

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"imgbuild/builder/bootscript/emulate"
	"imgbuild/init/contract/bootstate"
	"imgbuild/init/contract/firmware"
)

var boards = []Params{
	{Board: "rpi64", Kernel: ImageGz, Console: "ttyS1,115200", Addr: Addresses{Kernel: 0x02000000, Packed: 0x06000000, Initrd: 0x0a000000}},
	{Board: "odroid-xu4", Kernel: ZImage, Console: "ttySAC2,115200", DTB: "dtb/exynos5422-odroidxu4.dtb",
		Addr: Addresses{Kernel: 0x42000000, Initrd: 0x43300000, DTB: 0x43000000}},
	{Board: "qemu-arm64", Kernel: ImageGz, Console: "ttyAMA0", Addr: virt(ImageGz), Args: "quiet"},
}

func script(t testing.TB, p Params) string {
	t.Helper()
	s, err := Script(p)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// records returns every record, with a seq.
func records(seq uint64) (out []bootstate.Record) {
	states := []string{bootstate.Good, bootstate.Bad, bootstate.Empty}
	for _, active := range []string{"a", "b"} {
		for _, trial := range []string{"", bootstate.Other(active)} {
			for left := 0; left <= bootstate.MaxLeft; left++ {
				for _, a := range states {
					for _, b := range states {
						out = append(out, bootstate.Record{V: 1, Seq: seq, Active: active, Trial: trial, Left: left, A: a, B: b, Last: "before"})
					}
				}
			}
		}
	}
	return out
}

func sector(t testing.TB, r bootstate.Record) []byte {
	t.Helper()
	s, err := r.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return s[:]
}

// count is what the script has to do to a record before anything is loaded: the rules of the
// design, in Go.
func count(r bootstate.Record) bootstate.Record {
	other := bootstate.Other(r.Active)
	switch {
	case r.Left > 0:
	case r.Trial != "":
		r.Last = "trial-" + r.Trial + "-exhausted"
		if r.Trial == "a" {
			r.A = bootstate.Bad
		} else {
			r.B = bootstate.Bad
		}
		r.Trial, r.Left = "", bootstate.MaxLeft
	case r.State(other) == bootstate.Good:
		r.Last = "slot-" + r.Active + "-exhausted"
		r.Active, r.Left = other, bootstate.MaxLeft
	default:
		r.Last = "slot-" + r.Active + "-exhausted"
	}
	r.Left = max(r.Left-1, 0)
	return r
}

// Every record, in either copy or both, with slots that load: the script counts by the rules,
// writes the copy that it chose, and the other one only if that holds no record, and boots the slot
// of the record with its arguments.
func TestCounting(t *testing.T) {
	for _, p := range boards {
		if err := counting(t, p, script(t, p)); err != nil {
			t.Errorf("%s: %v", p.Board, err)
		}
	}
}

func counting(t *testing.T, p Params, text string) error {
	old := bootstate.Fresh("a")
	old.Seq, old.Trial, old.Last = 99, "b", "older"
	torn := sector(t, old)
	torn[100] ^= 1
	for _, r := range records(100) {
		young, other := sector(t, r), sector(t, old)
		for _, c := range []struct {
			copies [2][]byte
			chosen int
		}{
			{[2][]byte{young, young}, 0}, {[2][]byte{young, other}, 0}, {[2][]byte{other, young}, 1},
			{[2][]byte{young, torn}, 0}, {[2][]byte{torn, young}, 1}, {[2][]byte{young, nil}, 0}, {[2][]byte{nil, young}, 1},
		} {
			m := &emulate.Machine{Sectors: c.copies, Slots: "ab"}
			if _, newer, err := bootstate.Choose(c.copies[0], c.copies[1]); err != nil || newer != c.chosen {
				return fmt.Errorf("Choose takes copy %d: %v", newer, err)
			}
			why, args := m.Boot(text)
			want := count(r)
			if got, err := bootstate.Parse(m.Sectors[c.chosen]); err != nil || got != want {
				return fmt.Errorf("%+v became %+v, want %+v (%v)", r, got, want, err)
			}
			other := c.copies[1-c.chosen]
			if _, err := bootstate.Parse(other); err != nil {
				other = m.Sectors[c.chosen] // a lost copy is written again, before the only whole one is touched
			}
			if !slices.Equal(m.Sectors[1-c.chosen], other) {
				return fmt.Errorf("%+v: the other copy became %q", r, m.Sectors[1-c.chosen])
			}
			if _, slot, _ := strings.Cut(why, " "); slot != want.Slot() {
				return fmt.Errorf("%+v: ended with %q, want slot %s", r, why, want.Slot())
			}
			trial := "0"
			if want.Trial != "" {
				trial = "1"
			}
			for name, value := range map[string]string{"shelf.disk": "1a2b3c4d-01", "shelf.slot": want.Slot(), "shelf.board": p.Board,
				"shelf.trial": trial, "shelf.left": strconv.Itoa(want.Left), "shelf.last": want.Last, "panic": "10"} {
				if args[name] != value {
					return fmt.Errorf("%+v: %s=%s, want %s", r, name, args[name], value)
				}
			}
		}
	}
	return nil
}

// The check has teeth: one slip anywhere in the script is found.
func TestCountingControls(t *testing.T) {
	text := script(t, boards[0])
	for old, young := range map[string]string{
		"setenv left 1\n":                   "setenv left 2\n",
		"setenv left 0\n\tfi":               "fi",
		"setenv ${trial} bad":               "echo",
		"setenv last trial-${trial}":        "setenv last trial-x",
		"${seq} -gt ${s_best}":              "${s_best} -gt ${seq}",
		"setenv s_at ${s_lba}":              "setenv s_at 0x2000",
		"run s_clear":                       "echo",
		"run s_save":                        "test -n x",
		"setenv active b":                   "setenv active a",
		`test "${b}" = "good"`:              `test "${b}" = "bad"`,
		`test "${s_slot}" = "${s_trial}"`:   `test -n "${s_trial}" && test "${s_slot}" = "b"`,
		"for s_slot in ${s_first}":          "for s_slot in a",
		"a active b last left seq trial v;": "a active b last left seq v;",
	} {
		mutant := strings.ReplaceAll(text, old, young)
		if mutant == text {
			t.Errorf("%q is not in the script", old)
		} else if counting(t, boards[0], mutant) == nil {
			t.Errorf("%q in place of %q passes", young, old)
		}
	}
}

// The slots that load decide in the end: each record with every set of slots that load.
func TestLoading(t *testing.T) {
	for _, p := range boards[:2] {
		text := script(t, p)
		for _, r := range records(5) {
			for _, slots := range []string{"", "a", "b"} {
				m := &emulate.Machine{Sectors: [2][]byte{sector(t, r), nil}, Slots: slots}
				why, args := m.Boot(text)
				counted := count(r)
				got, err := bootstate.Parse(m.Sectors[0])
				if err != nil {
					t.Fatal(err)
				}
				first := counted.Slot()
				switch {
				case slots == "":
					if why != "reset" || !slices.Contains(m.Shell.Log, "sleep 60") {
						t.Fatalf("%+v, nothing loads: ended with %q", r, why)
					}
				case !strings.HasSuffix(why, " "+slots) || args["shelf.slot"] != slots:
					t.Fatalf("%+v, slot %s loads: ended with %q", r, slots, why)
				}
				if slots == first {
					continue
				}
				if counted.Trial == "" {
					if got != counted {
						t.Fatalf("%+v, slots %q: the record became %+v", r, slots, got)
					}
					continue
				}
				// The trial did not load: it is bad, and the committed slot has one attempt less
				// than all.
				if got.Trial != "" || got.Active != r.Active || got.State(first) != bootstate.Bad || got.Left != 2 || got.Last != "trial-"+first+"-did-not-load" {
					t.Fatalf("%+v, slots %q: the record became %+v", r, slots, got)
				}
				if slots != "" && args["shelf.trial"] != "0" {
					t.Fatalf("%+v: shelf.trial=%s for the committed slot", r, args["shelf.trial"])
				}
			}
		}
	}
}

func TestNoRecord(t *testing.T) {
	torn := sector(t, bootstate.Fresh("b"))
	torn[20] ^= 4
	for _, copies := range [][2][]byte{{nil, nil}, {torn, torn}, {make([]byte, 512), make([]byte, 512)}, {torn, nil}} {
		for slots, want := range map[string]string{"ab": "booti a", "a": "booti a", "b": "booti b", "": "reset"} {
			m := &emulate.Machine{Sectors: copies, Slots: slots}
			why, args := m.Boot(script(t, boards[0]))
			if why != want || slots != "" && args["shelf.left"] != "0" {
				t.Errorf("slots %q: ended with %q, %v", slots, why, args)
			}
			if !slices.Equal(m.Sectors[0], copies[0]) || !slices.Equal(m.Sectors[1], copies[1]) {
				t.Error("a record was written where none is valid")
			}
		}
	}
}

// A trial whose attempt cannot be counted would be tried for ever.
func TestReadOnlyDisk(t *testing.T) {
	r := bootstate.Fresh("a")
	r.Trial = "b"
	m := &emulate.Machine{Sectors: [2][]byte{sector(t, r), sector(t, r)}, Slots: "ab", ReadOnly: true}
	why, args := m.Boot(script(t, boards[0]))
	if why != "booti a" || args["shelf.trial"] != "0" || args["shelf.last"] != "record-not-writable" {
		t.Errorf("ended with %q, %v", why, args)
	}
}

// From every record, with slots that load and systems that never become healthy, both slots that
// are good get their turn, no trial gets more than its attempts, and no boot fails to boot.
func TestNeverHealthy(t *testing.T) {
	text := script(t, boards[0])
	for _, r := range records(3) {
		m := &emulate.Machine{Sectors: [2][]byte{sector(t, r), nil}, Slots: "ab"}
		booted := map[string]int{}
		trials := 0
		for range 12 {
			why, args := m.Boot(text)
			_, slot, _ := strings.Cut(why, " ")
			booted[slot]++
			if args["shelf.trial"] == "1" {
				trials++
			}
		}
		if r.Trial != "" && trials != r.Left {
			t.Fatalf("%+v: %d boots under trial", r, trials)
		}
		if booted[r.Active] == 0 && (r.Left > 0 || r.Trial != "") || r.Trial == "" && r.A == "good" && r.B == "good" && (booted["a"] == 0 || booted["b"] == 0) {
			t.Fatalf("%+v: booted %v", r, booted)
		}
	}
}

// On QEMU's virt the script takes virt's console, addresses and device tree, and stays the board's
// otherwise.
func TestVirt(t *testing.T) {
	for _, p := range boards {
		for _, board := range []string{"qemu-arm", "rpi", "odroid", ""} {
			r := sector(t, bootstate.Fresh("a"))
			m := &emulate.Machine{Sectors: [2][]byte{r, r}, Slots: "ab", Board: board}
			why, args := m.Boot(script(t, p))
			console, kernel := p.Console, p.Addr.Kernel
			if board == "qemu-arm" {
				console, kernel = "ttyAMA0", 0x40400000
			}
			last := m.Shell.Log[len(m.Shell.Log)-1]
			if !strings.HasSuffix(why, " a") || args["console"] != console || args["shelf.board"] != p.Board ||
				!strings.Contains(last, fmt.Sprintf(" 0x%08x ", kernel)) {
				t.Errorf("%s on %q: %s, console %s: %s", p.Board, board, why, args["console"], last)
			}
		}
	}
}

// The first line of usercmdline.txt follows the script's own words, whatever slot boots. A file
// that is longer than it may be is left out, not cut.
func TestWords(t *testing.T) {
	long := strings.Repeat("x", firmware.MaxWords-6)
	for _, c := range []struct{ file, want string }{
		{"", ""}, {"\n", ""}, {"quiet", "quiet"}, {"usb-storage.quirks=174c:55aa:u loglevel=3\r\nmore=1\r\n", "usb-storage.quirks=174c:55aa:u loglevel=3"},
		{"  a=\"b c\"; reset\ns_slot=b\n", "  a=\"b c\"; reset"}, {"# a note\n", "# a note"}, {"a=1 " + long + "\r\n", "a=1 " + long}, {"a=12 " + long + "\r\n", ""},
		{strings.Repeat("a=1\n", 1000), ""},
	} {
		for _, p := range boards {
			r := bootstate.Fresh("a")
			for _, slots := range []string{"ab", "b"} {
				m := &emulate.Machine{Sectors: [2][]byte{sector(t, r), sector(t, r)}, Slots: slots}
				why, _ := m.Boot(script(t, p))
				want := strings.TrimSuffix(m.Shell.Env["bootargs"], " ")
				if m.Shell.Env["s_words"] != "" {
					t.Fatalf("s_words is set without a file")
				}
				m = &emulate.Machine{Sectors: [2][]byte{sector(t, r), sector(t, r)}, Slots: slots, Words: []byte(c.file)}
				again, _ := m.Boot(script(t, p))
				if c.want != "" {
					want += " " + c.want
				}
				if got := strings.TrimRight(m.Shell.Env["bootargs"], " "); got != want || again != why {
					t.Errorf("%s, %.40q: %q, want %q; ended with %q, want %q", p.Board, c.file, got, want, again, why)
				}
			}
		}
	}
}
