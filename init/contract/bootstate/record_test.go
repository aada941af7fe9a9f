package bootstate

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
	"strings"
	"testing"
)

// all returns every record that can be distinguished, except for seq and last.
func all() (records []Record) {
	states := []string{Good, Bad, Empty}
	for _, active := range []string{A, B} {
		for _, trial := range []string{"", Other(active)} {
			for left := 0; left <= MaxLeft; left++ {
				for _, a := range states {
					for _, b := range states {
						records = append(records, Record{V: 1, Seq: 7, Active: active, Trial: trial, Left: left, A: a, B: b, Last: "x"})
					}
				}
			}
		}
	}
	return records
}

func sector(t testing.TB, r Record) []byte {
	t.Helper()
	s, err := r.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return s[:]
}

// block makes an environment block of raw lines, with a good checksum.
func block(lines ...string) []byte {
	s := make([]byte, Size)
	copy(s[4:], strings.Join(lines, "\x00"))
	binary.LittleEndian.PutUint32(s, crc32.ChecksumIEEE(s[4:]))
	return s
}

func TestRoundTrip(t *testing.T) {
	for _, r := range all() {
		for _, last := range []string{"", "health-timeout", strings.Repeat("x", 64)} {
			for _, seq := range []uint64{1, 9, 10, MaxSeq} {
				r.Last, r.Seq = last, seq
				got, err := Parse(sector(t, r))
				if err != nil || got != r {
					t.Fatalf("%+v came back as %+v, %v", r, got, err)
				}
			}
		}
	}
}

// The layout is what U-Boot's export writes, so the sector is the same whether U-Boot or Linux
// wrote it last.
func TestLayout(t *testing.T) {
	r := Fresh(A)
	r.Seq, r.Trial = 12, B
	want := block("a=good", "active=a", "b=empty", "left=3", "seq=12", "trial=b", "v=1", "", "")
	if got := sector(t, r); !bytes.Equal(got, want) {
		t.Fatalf("got  %q\nwant %q", got, want)
	}
}

func TestParseRefuses(t *testing.T) {
	ok := []string{"v=1", "seq=5", "active=a", "left=3", "a=good", "b=empty"}
	if _, err := Parse(block(ok...)); err != nil {
		t.Fatal(err)
	}
	for name, lines := range map[string][]string{
		"no v":              ok[1:],
		"other v":           append(slices.Clone(ok), "v=2"),
		"octal seq":         append(slices.Clone(ok), "seq=010"),
		"hex seq":           append(slices.Clone(ok), "seq=0x10"),
		"seq zero":          append(slices.Clone(ok), "seq=0"),
		"seq over 31 bits":  append(slices.Clone(ok), "seq=2147483648"),
		"signed seq":        append(slices.Clone(ok), "seq=+5"),
		"left too high":     append(slices.Clone(ok), "left=4"),
		"left with zero":    append(slices.Clone(ok), "left=03"),
		"left gone":         append(slices.Clone(ok), "left="),
		"active c":          append(slices.Clone(ok), "active=c"),
		"active gone":       append(slices.Clone(ok), "active"),
		"trial is active":   append(slices.Clone(ok), "trial=a"),
		"trial c":           append(slices.Clone(ok), "trial=c"),
		"state":             append(slices.Clone(ok), "a=fine"),
		"last with a space": append(slices.Clone(ok), "last=a b"),
		"last with a shell": append(slices.Clone(ok), "last=x;reset"),
		"nothing":           nil,
	} {
		if r, err := Parse(block(lines...)); err == nil {
			t.Errorf("%s: read as %+v", name, r)
		}
	}
	for _, n := range []int{0, 4, Size - 1, Size + 1} {
		if _, err := Parse(make([]byte, n)); err == nil {
			t.Errorf("%d bytes were read", n)
		}
	}
}

func TestParseLikeUBoot(t *testing.T) {
	r, err := Parse(block("v=1", "seq=4", "seq=5", "active=a", "left=3", "a=good", "b=empty", "future=1", "odd", "trial=b", "trial="))
	if err != nil || r.Seq != 5 || r.Trial != "" {
		t.Fatalf("%+v, %v", r, err)
	}
}

// Every torn, zeroed or altered sector is refused: no prefix of a new one over an old one passes,
// and no flipped bit does.
func TestDamage(t *testing.T) {
	before, after := Fresh(A), Fresh(A)
	after.Seq, after.Trial, after.Last = 2, B, "armed"
	old, young := sector(t, before), sector(t, after)
	for cut := 1; cut < Size; cut++ {
		torn := append(slices.Clone(young[:cut]), old[cut:]...)
		if _, err := Parse(torn); err == nil && !bytes.Equal(torn, young) && !bytes.Equal(torn, old) {
			t.Fatalf("torn at byte %d was read", cut)
		}
		zeros := append(slices.Clone(young[:cut]), make([]byte, Size-cut)...)
		if _, err := Parse(zeros); err == nil && !bytes.Equal(zeros, young) {
			t.Fatalf("zeros from byte %d on were read", cut)
		}
	}
	for bit := range Size * 8 {
		flipped := slices.Clone(young)
		flipped[bit/8] ^= 1 << (bit % 8)
		if _, err := Parse(flipped); err == nil {
			t.Fatalf("bit %d flipped was read", bit)
		}
	}
	if _, err := Parse(make([]byte, Size)); err == nil {
		t.Fatal("a zeroed sector was read")
	}
}

func TestChoose(t *testing.T) {
	at := func(seq uint64, last string) []byte {
		r := Fresh(A)
		r.Seq, r.Last = seq, last
		return sector(t, r)
	}
	torn := at(99, "")
	torn[8] ^= 1
	for _, c := range []struct {
		name         string
		copy0, copy1 []byte
		newer        int
	}{
		{"copy 0 higher", at(10, "x"), at(9, "y"), 0},
		{"copy 1 higher", at(9, "x"), at(10, "y"), 1}, // as text 9 is higher
		{"equal", at(9, "x"), at(9, "y"), 0},
		{"copy 0 torn", torn, at(9, "y"), 1},
		{"copy 1 torn", at(9, "x"), torn, 0},
		{"copy 1 absent", at(9, "x"), nil, 0},
	} {
		r, newer, err := Choose(c.copy0, c.copy1)
		if err != nil || newer != c.newer || (r.Last == "x") != (newer == 0) {
			t.Errorf("%s: %+v, copy %d, %v", c.name, r, newer, err)
		}
	}
	if _, _, err := Choose(torn, make([]byte, Size)); !errors.Is(err, ErrNone) {
		t.Errorf("both torn: %v", err)
	}
}

func TestReason(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "health timeout: k3s": "health-timeout-k3s", "  'x; reset' ": "x-reset", "Größe": "gr-e", strings.Repeat("é", 200): "",
		strings.Repeat("ab", 40): strings.Repeat("ab", 32), "v1.2": "v1.2",
	} {
		if got := Reason(text); got != want {
			t.Errorf("Reason(%q) = %q, want %q", text, got, want)
		}
		if got := Reason(text); Reason(got) != got {
			t.Errorf("Reason(%q) does not keep %q", text, got)
		}
	}
}

func TestCheckLimits(t *testing.T) {
	r := Fresh(B)
	r.Seq = MaxSeq + 1
	if _, err := r.Marshal(); err == nil {
		t.Error("a seq that U-Boot cannot compare was written")
	}
	r = Fresh(B)
	r.Last = "two words"
	if _, err := r.Marshal(); err == nil {
		t.Error("a reason that would break the command line was written")
	}
}

func FuzzParse(f *testing.F) {
	for _, r := range all()[:8] {
		f.Add(sector(f, r))
	}
	f.Add(block("v=1", "seq=5", "active=a", "left=3", "a=good", "b=empty", "x"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) >= 4 && len(data) <= Size {
			data = append(data, make([]byte, Size-len(data))...)
			binary.LittleEndian.PutUint32(data, crc32.ChecksumIEEE(data[4:]))
		}
		r, err := Parse(data)
		if err != nil {
			return
		}
		again, err := Parse(sector(t, r))
		if err != nil || again != r {
			t.Fatalf("%+v came back as %+v, %v", r, again, err)
		}
	})
}
