package delta

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"

	"imgbuild/init/contract/bundle"
	"imgbuild/init/contract/codec"
	"imgbuild/init/contract/zstdblock"
)

func description() *Description {
	return &Description{
		Sources: []Source{{codec.Gzip, 4096, 9000, 50000}, {codec.Raw, 512, 4096, 4096}, {codec.Block, 100000, 700, 262144}, {codec.Meta, 99000, 40, 8000}},
		Steps:   []Step{{Copy, 2, 4096}, {Old, 1, 0}, {Blocks, 3, 0}, {Whole, 1, 0}, {Copy, 1, 512}},
	}
}

// give makes streams out of their contents, each in one part.
func give(content [Streams][]byte) *streams {
	return &streams{next: func(id int, _ []byte) ([]byte, error) {
		b := content[id]
		content[id] = nil
		return b, nil
	}}
}

func TestPlan(t *testing.T) {
	d := description()
	got, err := parsePlan(give([Streams][]byte{d.Marshal()}), 8)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.Sources, d.Sources) || !slices.Equal(got.Steps, d.Steps) {
		t.Errorf("%+v reads as %+v", d, got)
	}
	bad := map[string]func(*Description){
		"more units than there are":  func(d *Description) { d.Steps[2].Count++ },
		"a source after the slot":    func(d *Description) { d.Sources[2].Off = bundle.MaxSlot },
		"a source before the slot":   func(d *Description) { d.Sources[0].Off = -1 },
		"a kernel of a GiB":          func(d *Description) { d.Sources[0].Raw = 1 << 30 },
		"a block of 2 MiB":           func(d *Description) { d.Sources[2].Raw = 2 << 20 },
		"a packed block of 2 MiB":    func(d *Description) { d.Sources[2].Size = 2 << 20 },
		"metadata of 9 KiB":          func(d *Description) { d.Sources[3].Raw = 9 << 10 },
		"a source of zeros":          func(d *Description) { d.Sources[1].Kind = codec.Zeros },
		"a stream that is none":      func(d *Description) { d.Steps[1].From = 1 },
		"a stream that is not there": func(d *Description) { d.Steps[1].From = 4 },
		"a copy before the slot":     func(d *Description) { d.Steps[0].From = -4 },
		"something else":             func(d *Description) { d.Steps[0].Do = 7 },
	}
	for what, change := range bad {
		d := description()
		change(d)
		if _, err := parsePlan(give([Streams][]byte{d.Marshal()}), 8); !errors.Is(err, errDelta) {
			t.Errorf("%s: %v", what, err)
		}
	}
	text := d.Marshal()
	for n := range text {
		if _, err := parsePlan(give([Streams][]byte{text[:n]}), 8); err == nil {
			t.Errorf("a plan that ends after %d of %d bytes is read", n, len(text))
		}
	}
}

// from is a source in memory.
type from []byte

func (f from) read(p []byte, pos int64) error {
	if pos < 0 || pos+int64(len(p)) > int64(len(f)) {
		return errDelta
	}
	copy(p, f[pos:])
	return nil
}

func TestPatch(t *testing.T) {
	old := from("the quick brown fox")
	// "A" then "quick" with its c changed to k, then "fox".
	content := [Streams][]byte{Ops: {1, 5, 8, 0, 3, 14}, Gaps: {3, 0x7f}, Values: {'k' - 'c'}, Literals: []byte("A")}
	var b bytes.Buffer
	p := &patcher{s: give(content)}
	if err := p.run(&b, old, false, 9); err != nil || b.String() != "Aquikkfox" {
		t.Errorf("%q, %v, want %q", b.String(), err, "Aquikkfox")
	}
	if p.pos[0] != 19 {
		t.Errorf("the next copy begins at %d, want 19", p.pos[0])
	}
	b.Reset()
	p = &patcher{s: give(content)}
	if err := p.run(&b, old[:10], false, 9); !errors.Is(err, errSource) || b.Len() != 9 {
		t.Errorf("a source that ends: %d bytes, %v", b.Len(), err)
	}
	p = &patcher{s: give(content)}
	if err := p.run(nil, nil, false, 9); err != nil || len(p.s.rest[Ops]) != 0 {
		t.Errorf("a unit that is passed over: %v, %d left, want 0", err, len(p.s.rest[Ops]))
	}
	for raw := range int64(9) {
		p = &patcher{s: give(content)}
		if err := p.run(&b, old, false, raw); raw != 0 && raw != 6 && !errors.Is(err, errDelta) {
			t.Errorf("a content of %d bytes: %v", raw, err)
		}
	}
}

func TestRing(t *testing.T) {
	var b bytes.Buffer
	z, err := codec.NewWriter(codec.Gzip, &b)
	if err != nil {
		t.Fatal(err)
	}
	want := make([]byte, 3*window)
	for i := range want {
		want[i] = byte(i>>12) ^ byte(i)
	}
	z.Write(want)
	z.Close()
	s := Source{Kind: codec.Gzip, Size: int64(b.Len()), Raw: int64(len(want))}
	g, err := openRing(bytes.NewReader(b.Bytes()), s, newArena())
	if err != nil {
		t.Fatal(err)
	}
	defer g.close()
	p := make([]byte, step)
	check := func(pos int64) {
		t.Helper()
		if err := g.read(p, pos); err != nil || !bytes.Equal(p, want[pos:pos+step]) {
			t.Fatalf("at %d: %v", pos, err)
		}
	}
	for at := int64(0); at+step <= s.Raw; at += step {
		check(min(at+Reach, s.Raw-step))
		check(max(at-Reach, 0))
	}
	if err := g.read(p, s.Raw-window-1); !errors.Is(err, errDelta) {
		t.Errorf("what was forgotten: %v", err)
	}
	if err := g.read(p, s.Raw-1); !errors.Is(err, errDelta) {
		t.Errorf("after the end: %v", err)
	}
}

func TestParts(t *testing.T) {
	var e zstdblock.Encoder
	var data []byte
	long := bytes.Repeat([]byte("content "), 1000)
	data = AppendPart(data, &e, Ops, long)
	data = AppendPart(data, &e, Gaps, []byte{1})
	decode, err := zstd.NewReader(nil, zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		t.Fatal(err)
	}
	defer decode.Close()
	open := func(b []byte) *parts { return &parts{r: bytes.NewReader(b), left: int64(len(b)), decode: decode} }
	p := open(data)
	if b, err := p.next(Ops, nil); err != nil || !bytes.Equal(b, long) {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if b, err := p.next(Gaps, nil); err != nil || len(b) != 1 || b[0] != 1 {
		t.Errorf("%v, %v", b, err)
	}
	if _, err := p.next(Gaps, nil); !errors.Is(err, errDelta) || p.failed != nil {
		t.Errorf("after the end: %v, %v", err, p.failed)
	}
	if _, err := open(data).next(Gaps, nil); !errors.Is(err, errDelta) {
		t.Errorf("a part of another stream: %v", err)
	}
	bomb := bytes.Clone(data)
	bomb[1]-- // claims one byte less than it has
	if _, err := open(bomb).next(Ops, nil); !errors.Is(err, errDelta) {
		t.Errorf("a part that is longer than its header: %v", err)
	}
	short := &parts{r: bytes.NewReader(data[:20]), left: int64(len(data)), decode: decode}
	if _, err := short.next(Ops, nil); err == nil || short.failed == nil {
		t.Errorf("a connection that ends: %v, %v", err, short.failed)
	}
}

// FuzzStreams goes through arbitrary streams as an applier does.
func FuzzStreams(f *testing.F) {
	f.Add(description().Marshal(), []byte{1, 5, 8, 0, 3, 14}, []byte{3, 0x7f}, []byte("x"), []byte("literals"))
	units := []bundle.Unit{{Kind: codec.Raw, Size: 9, Raw: 9}, {Kind: codec.Gzip, Size: 5, Raw: 70000}, {Kind: codec.Block, Size: 5, Raw: 3000}, {Kind: codec.Meta, Size: 5, Raw: 10}}
	old := from(bytes.Repeat([]byte("the quick brown fox"), 5000))
	f.Fuzz(func(t *testing.T, plan, ops, gaps, values, literals []byte) {
		s := give([Streams][]byte{plan, ops, gaps, values, literals})
		d, err := parsePlan(s, len(units))
		if err != nil {
			return
		}
		p := &patcher{s: s}
		d.each(units, func(do int, u bundle.Unit, from int64) error {
			if do == Copy || do == Whole {
				return nil
			}
			var b bytes.Buffer
			err := p.run(&b, old, do == Old, u.Raw)
			if int64(b.Len()) > u.Raw || err == nil && int64(b.Len()) != u.Raw {
				t.Errorf("%d bytes of %d, %v", b.Len(), u.Raw, err)
			}
			if errors.Is(err, errSource) {
				return nil
			}
			return err
		})
	})
}
