package bundle

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"testing"

	"aead.dev/minisign"

	"imgbuild/builder/blockcache"
	"imgbuild/init/contract/bundle"
	"imgbuild/init/contract/codec"
	"imgbuild/init/contract/delta"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/pieces"
)

// source is a bundle in memory that fails after some bytes and remembers what was asked of it.
type source struct {
	data  []byte
	fail  int // bytes until it breaks; negative for never
	at    int64
	back  bool  // somebody went backward
	asked int64 // bytes
}

func (s *source) Range(_ context.Context, off, n int64) (io.ReadCloser, error) {
	if off < s.at {
		s.back = true
	}
	s.at, s.asked = off+n, s.asked+n
	return io.NopCloser(&breaking{bytes.NewReader(s.data[off : off+n]), s}), nil
}

type breaking struct {
	io.Reader
	s *source
}

func (b *breaking) Read(p []byte) (int, error) {
	if b.s.fail == 0 {
		return 0, errors.New("connection reset")
	}
	if b.s.fail > 0 {
		p = p[:min(len(p), b.s.fail)]
	}
	n, err := b.Reader.Read(p)
	if b.s.fail > 0 {
		b.s.fail -= n
	}
	return n, err
}

type pair struct {
	old, new *disk
	from, to *Slot
	pub      minisign.PublicKey
	data     []byte // the bundle, with the delta
}

func open(t testing.TB, d *disk) *Slot {
	t.Helper()
	s, err := Open(d)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func makePair(t testing.TB, a, b version) *pair {
	t.Helper()
	p := &pair{old: makeSlot(t, a), new: makeSlot(t, b)}
	p.from, p.to = open(t, p.old), open(t, p.new)
	pub, key, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p.pub = pub
	bu, err := Sign(p.to, key, Options{Floor: Floor})
	if err != nil {
		t.Fatal(err)
	}
	defer bu.Close()
	cache, err := blockcache.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := bu.AddDelta(context.Background(), cache, p.from); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := bu.Write(context.Background(), &out); err != nil {
		t.Fatal(err)
	}
	p.data = out.Bytes()
	return p
}

func (p *pair) open(t testing.TB, s *source) *bundle.Bundle {
	t.Helper()
	b, err := bundle.Open(context.Background(), s, bundle.Keys{p.pub})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// right reports whether the new slot was made.
func (p *pair) right(t testing.TB, got *disk, res delta.Result) {
	t.Helper()
	size := int(p.to.Size)
	if len(got.data) > size {
		t.Errorf("%d bytes were written, the slot has %d", len(got.data), size)
	}
	if !bytes.Equal(res.First[:], p.new.data[:512]) {
		t.Error("the first sector is another one")
	}
	whole, want := make([]byte, size), make([]byte, size)
	got.ReadAt(whole, 0)
	p.new.ReadAt(want, 0)
	if !bytes.Equal(whole[:512], make([]byte, 512)) {
		t.Error("the first sector was written")
	}
	if !bytes.Equal(whole[512:], want[512:]) {
		for _, x := range p.to.Pieces {
			if end := x.Off + x.Size; !bytes.Equal(whole[max(512, x.Off):max(512, end)], want[max(512, x.Off):max(512, end)]) {
				t.Errorf("%s at %d, %d bytes, is wrong", x.Kind, x.Off, x.Size)
			}
		}
	}
	if sum := res.Kept + res.Copied + res.Patched + res.Fetched + res.Made; sum != int64(size) {
		t.Errorf("the parts are %d bytes, the slot has %d: %+v", sum, size, res)
	}
}

func (p *pair) apply(t testing.TB, change func(*delta.Options)) (*disk, delta.Result, error) {
	t.Helper()
	d := &disk{fail: -1}
	o := delta.Options{Bundle: p.open(t, &source{data: p.data, fail: -1}), Old: p.old, OldSum: p.from.Sum, New: d}
	if change != nil {
		change(&o)
	}
	res, err := delta.Apply(context.Background(), o)
	return d, res, err
}

var first, second = version{}, version{Kernel: 40, Init: 10, Lib: 25, Extra: true}

func TestCut(t *testing.T) {
	s := open(t, makeSlot(t, first))
	kinds := map[codec.Kind]int{}
	at := int64(0)
	for _, p := range s.Pieces {
		if p.Off != at {
			t.Fatalf("a piece at %d, the last ended at %d", p.Off, at)
		}
		kinds[p.Kind]++
		at += p.Size
	}
	if at != s.Size {
		t.Errorf("the pieces end at %d, the slot at %d", at, s.Size)
	}
	if kinds[codec.Gzip] != 1 || kinds[codec.Stream] != 1 || kinds[codec.Tree] != 1 || kinds[codec.Block] < 4 || kinds[codec.Meta] < 4 || kinds[codec.Zeros] < 2 {
		t.Errorf("the pieces are %v", kinds)
	}
	if s.Pieces[0] != (pieces.Piece{Kind: codec.Raw, Size: 512, Raw: 512}) {
		t.Errorf("the first piece is %+v", s.Pieces[0])
	}
}

func TestDelta(t *testing.T) {
	p := makePair(t, first, second)
	src := &source{data: p.data, fail: -1}
	d, res, err := p.apply(t, func(o *delta.Options) { o.Bundle = p.open(t, src) })
	if err != nil {
		t.Fatal(err)
	}
	p.right(t, d, res)
	if res.Missed != 0 || res.Broken != nil || res.Fetched > 1<<16 || res.Copied == 0 || res.Patched < 500<<10 {
		t.Errorf("%+v", res)
	}
	if res.Delta > p.to.Size/8 {
		t.Errorf("the delta has %d bytes, the slot %d", res.Delta, p.to.Size)
	}
	if src.back {
		t.Error("the bundle was not read forward only")
	}
}

func TestSameSlot(t *testing.T) {
	p := makePair(t, first, first)
	d, res, err := p.apply(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	p.right(t, d, res)
	if res.Fetched+res.Patched != 0 || res.Delta > 200 {
		t.Errorf("%+v", res)
	}
}

// TestWhole: a node that has nothing to start from, or something that the bundle has no delta for.
func TestWhole(t *testing.T) {
	p := makePair(t, first, second)
	d, res, err := p.apply(t, func(o *delta.Options) { o.Old = nil })
	if err != nil {
		t.Fatal(err)
	}
	p.right(t, d, res)
	if res.Copied+res.Patched != 0 {
		t.Errorf("from nothing: %+v: got %v, want 0", res, res.Copied+res.Patched)
	}
	whole := res.Fetched
	d, res, err = p.apply(t, func(o *delta.Options) { o.OldSum[0] ^= 1 })
	if err != nil {
		t.Fatal(err)
	}
	p.right(t, d, res)
	if res.Patched != 0 || res.Copied == 0 || res.Fetched >= whole {
		t.Errorf("from an unknown slot: %+v", res)
	}
	d, res, err = p.apply(t, func(o *delta.Options) { o.OldSum[0] ^= 1; o.Old = &disk{} })
	if err != nil {
		t.Fatal(err)
	}
	p.right(t, d, res)
	if res.Fetched != whole {
		t.Errorf("from an empty slot: %+v, want Fetched %v", res, whole)
	}
}

// TestEncoders: what a node cannot encode is fetched whole; what is the same is copied all the
// same.
func TestEncoders(t *testing.T) {
	other := codec.Encoders()
	for i := range other {
		other[i].Version += 100
	}
	p := makePair(t, first, second)
	d, res, err := p.apply(t, func(o *delta.Options) { o.Bundle.Manifest.Encoders = other[:] })
	if err != nil {
		t.Fatal(err)
	}
	p.right(t, d, res)
	if res.Copied == 0 || res.Fetched < 300<<10 || res.Missed != 0 {
		t.Errorf("a node that lacks the Encoders: %+v", res)
	}
	some := append([]codec.Encoder{other[0]}, codec.Encoders()[1:]...) // gzip: the kernel
	d, res, err = p.apply(t, func(o *delta.Options) { o.Bundle.Manifest.Encoders = some })
	if err != nil {
		t.Fatal(err)
	}
	p.right(t, d, res)
	kernel := p.to.Slot.Manifest.File("kernel").Size
	if res.Fetched < kernel || res.Fetched > kernel+1<<16 {
		t.Errorf("a node that lacks gzip fetches %d bytes, the kernel has %d", res.Fetched, kernel)
	}
	second := second
	second.Encoders = other
	p = makePair(t, first, second)
	d, res, err = p.apply(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	p.right(t, d, res)
	if res.Copied == 0 || res.Fetched < 300<<10 {
		t.Errorf("a slot of other Encoders: %+v", res)
	}
}

// TestWrongEncoder: an encoder that claims to be the same and is not costs bytes only.
func TestWrongEncoder(t *testing.T) {
	p := makePair(t, first, second)
	b := p.open(t, &source{data: p.data, fail: -1})
	n := 0
	for i := range b.Index.Units {
		if u := &b.Index.Units[i]; u.Kind == codec.Gzip {
			u.Kind, n = codec.Stream, n+1
		}
	}
	d, res, err := p.apply(t, func(o *delta.Options) { o.Bundle = b })
	if err != nil || n != 1 {
		t.Fatalf("got %v, %v, want 1", n, err)
	}
	p.right(t, d, res)
	if kernel := p.to.Slot.Manifest.File("kernel").Size; res.Missed == 0 || res.Fetched < kernel {
		t.Errorf("%+v", res)
	}
}

func TestDamagedDelta(t *testing.T) {
	p := makePair(t, first, second)
	h := p.open(t, &source{data: p.data, fail: -1}).Header
	del := h.Deltas[0]
	for i := range 10 {
		bad := &pair{old: p.old, new: p.new, from: p.from, to: p.to, pub: p.pub, data: bytes.Clone(p.data)}
		at := del.Off + del.Size*int64(i)/10
		bad.data[at] ^= byte(1 + i*23)
		d, res, err := bad.apply(t, nil)
		if err != nil {
			t.Fatalf("byte %d: %v", at, err)
		}
		bad.right(t, d, res)
		if res.Fetched == 0 {
			t.Errorf("byte %d of the delta is changed, and nothing was fetched whole", at-del.Off)
		}
	}
}

func TestDamagedOldSlot(t *testing.T) {
	p := makePair(t, first, second)
	for i, x := range p.from.Pieces {
		if x.Kind == codec.Zeros || x.Kind == codec.Tree || x.Size < 20000 && i%9 != 0 {
			continue
		}
		old := &disk{data: bytes.Clone(p.old.data)}
		old.data[x.Off+x.Size/2] ^= 4
		d, res, err := p.apply(t, func(o *delta.Options) { o.Old = old })
		if err != nil {
			t.Fatalf("%s at %d: %v", x.Kind, x.Off, err)
		}
		p.right(t, d, res)
	}
}

func TestDamagedPiece(t *testing.T) {
	p := makePair(t, first, second)
	p.data = bytes.Clone(p.data)
	p.data[len(p.data)-3000] ^= 1
	d, _, err := p.apply(t, func(o *delta.Options) { o.Old = nil })
	var f *fault.Error
	if !errors.As(err, &f) || f.Kind != fault.Verify {
		t.Errorf("a damaged piece: %v", err)
	}
	want := make([]byte, len(d.data))
	p.new.ReadAt(want, 0)
	for i := 512; i < len(want); i += 512 { // all that is there is right
		if got := d.data[i:min(i+512, len(want))]; !bytes.Equal(got, want[i:min(i+512, len(want))]) && !bytes.Equal(got, make([]byte, len(got))) {
			t.Fatalf("a wrong sector at %d", i)
		}
	}
}

func TestResume(t *testing.T) {
	p := makePair(t, first, second)
	for _, fail := range []int{0, 5, 12} {
		d := &disk{fail: fail}
		_, _, err := p.apply(t, func(o *delta.Options) { o.New = d })
		if !errors.Is(err, errDisk) {
			t.Fatalf("after %d writes: %v", fail, err)
		}
		d.fail = -1
		_, res, err := p.apply(t, func(o *delta.Options) { o.New, o.Resume = d, true })
		if err != nil {
			t.Fatal(err)
		}
		p.right(t, d, res)
		if fail > 10 && res.Kept == 0 {
			t.Errorf("after %d writes nothing is kept: %+v", fail, res)
		}
	}
	h := p.open(t, &source{data: p.data, fail: -1}).Header
	for _, from := range []bool{true, false} {
		for i := range int64(3) {
			fail := int(h.Pieces.Off - h.Deltas[0].Size + h.Deltas[0].Size*i/3)
			if !from {
				fail = int(h.Deltas[0].Off + h.Pieces.Size*i/3)
			}
			d := &disk{fail: -1}
			change := func(o *delta.Options) {
				o.Bundle, o.New = p.open(t, &source{data: p.data, fail: fail}), d
				if !from {
					o.Old = nil
				}
			}
			var f *fault.Error
			if _, _, err := p.apply(t, change); !errors.As(err, &f) || f.Kind != fault.Network {
				t.Fatalf("a connection that breaks after %d bytes: %v", fail, err)
			}
			_, res, err := p.apply(t, func(o *delta.Options) { o.New, o.Resume = d, true })
			if err != nil {
				t.Fatal(err)
			}
			p.right(t, d, res)
		}
	}
}

func TestInterrupted(t *testing.T) {
	p := makePair(t, first, second)
	ctx, stop := context.WithCancel(context.Background())
	d := &disk{fail: -1}
	_, err := delta.Apply(ctx, delta.Options{Bundle: p.open(t, &source{data: p.data, fail: -1}), Old: p.old, OldSum: p.from.Sum, New: d,
		Progress: func(done, total int64) {
			if done > total/2 {
				stop()
			}
		}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestUnfold: a slot in a bundle is the one that it was made from.
func TestUnfold(t *testing.T) {
	p := makePair(t, first, second)
	h, err := bundle.ParseHeader(p.data[:bundle.HeaderSize])
	if err != nil {
		t.Fatal(err)
	}
	r, err := unfold(bytes.NewReader(p.data), h)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(r)
	if err != nil {
		t.Fatal(err)
	}
	if s.SHA256 != p.to.SHA256 || s.Sum != p.to.Sum {
		t.Error("the slot in the bundle is another one")
	}
}

func TestDeterministic(t *testing.T) {
	a, b := makePair(t, first, second), makePair(t, first, second)
	h := a.open(t, &source{data: a.data, fail: -1}).Header.Deltas[0]
	if !bytes.Equal(a.data[h.Off:h.End()], b.data[h.Off:h.End()]) {
		t.Error("the same slots give two deltas")
	}
}
