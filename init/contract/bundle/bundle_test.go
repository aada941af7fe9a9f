package bundle

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"aead.dev/minisign"

	"imgbuild/init/contract/codec"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/manifest"
)

func newKey(t testing.TB) (minisign.PublicKey, minisign.PrivateKey) {
	t.Helper()
	pub, key, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return pub, key
}

// sampleIndex is a slot of each kind of unit.
func sampleIndex() *Index {
	x := &Index{}
	sums := func(n int) []Sum {
		list := make([]Sum, n)
		for i := range list {
			list[i] = SumOf([]byte{byte(len(x.Pieces)), byte(i)})
		}
		return list
	}
	x.Add(codec.Raw, 512, 512, sums(1))
	x.Add(codec.Zeros, 3584, 3584, nil)
	x.Add(codec.Gzip, 2*PieceSize+4096, 5<<20, sums(3))
	x.Add(codec.Stream, 4096, 1<<20, sums(1))
	x.Add(codec.Block, 4000, 8192, sums(1))
	x.Add(codec.Meta, 4192, 8192, sums(1))
	x.Add(codec.Tree, 4096, 4096, nil)
	return x
}

func sampleManifest(x *Index) *Manifest {
	sum := sha256.Sum256(x.Marshal())
	hash := strings.Repeat("ab", 32)
	return &Manifest{
		Format: Format, Family: "rpi64", Arch: "arm64", Roles: []string{"server", "worker"}, Version: "20261122-0badc0de", Date: 1795305600, Floor: 3,
		Kernel: "6.12.118+deb13-arm64", Init: hash, K3s: &manifest.K3s{Version: "v1.35.0+k3s1", Source: "firstboot", SHA256: hash, URL: "https://example.org/k3s?a=1&b=<2>", Size: 7},
		Slot:     Slot{Size: x.Size, SHA256: hash, Manifest: strings.Repeat("cd", 32)},
		Root:     manifest.Root{Offset: x.Size - 12288, Size: 8192, TreeOffset: x.Size - 4096, TreeSize: 4096, Hash: hash, Salt: "0123"},
		Index:    Blob{Size: int64(len(x.Marshal())), SHA256: hex.EncodeToString(sum[:])},
		Encoders: codec.Encoders(),
	}
}

// memory is a bundle in memory.
type memory []byte

func (m memory) Range(_ context.Context, off, n int64) (io.ReadCloser, error) {
	off = min(off, int64(len(m)))
	return io.NopCloser(bytes.NewReader(m[off:min(off+n, int64(len(m)))])), nil
}

// sample returns the parts of a bundle: header, manifest, signature, index.
func sample(t testing.TB, key minisign.PrivateKey) (parts [4][]byte) {
	t.Helper()
	x := sampleIndex()
	text, err := sampleManifest(x).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	parts[1], parts[2], parts[3] = text, Sign(key, text, "a comment"), x.Marshal()
	h := Header{Manifest: int64(len(text)), Signature: int64(len(parts[2])), Index: int64(len(parts[3])), Deltas: []Delta{{Base: [32]byte{1}, Span: Span{Size: 10}}, {Base: [32]byte{2}, Span: Span{Size: 20}}}}
	h.Pieces.Size = x.Sent()
	parts[0] = h.Marshal() // deltas and pieces are not read by Open
	return parts
}

func open(parts [4][]byte, keys ...minisign.PublicKey) (*Bundle, error) {
	return Open(context.Background(), memory(slices.Concat(parts[:]...)), keys)
}

func TestOpen(t *testing.T) {
	pub, key := newKey(t)
	other, _ := newKey(t)
	parts := sample(t, key)
	b, err := open(parts, other, pub)
	if err != nil {
		t.Fatal(err)
	}
	if !b.Key.Equal(pub) || b.Manifest.Version != "20261122-0badc0de" || len(b.Index.Units) != 7 {
		t.Errorf("opened %+v", b)
	}
	at := int64(HeaderSize + len(parts[1]) + len(parts[2]) + len(parts[3]))
	if d := b.Header.Delta([32]byte{2}); d == nil || d.Off != at+10 || d.Size != 20 {
		t.Errorf("delta is %+v, it begins at %d", d, at+10)
	}
	if b.Header.Delta([32]byte{3}) != nil {
		t.Error("there is a delta from nowhere")
	}
	if want := (Span{at + 30, b.Index.Sent()}); b.Header.Pieces != want {
		t.Errorf("pieces are at %+v, not %+v", b.Header.Pieces, want)
	}
	last := b.Index.Pieces[len(b.Index.Pieces)-1]
	if want := int64(512 + 2*PieceSize + 4096 + 4096 + 4000); last.At != want || last.Size != 4192 {
		t.Errorf("the last piece is %+v, at %d", last, want)
	}
}

func kind(err error) fault.Kind {
	var f *fault.Error
	if errors.As(err, &f) {
		return f.Kind
	}
	return 0
}

func TestKeys(t *testing.T) {
	pub, key := newKey(t)
	other, _ := newKey(t)
	parts := sample(t, key)
	if _, err := open(parts); kind(err) != fault.Verify {
		t.Errorf("without a key: %v", err)
	}
	if _, err := open(parts, other); kind(err) != fault.Verify {
		t.Errorf("with another key: %v", err)
	}
	legacy := parts
	legacy[2] = minisign.SignWithComments(key, parts[1], "a comment", untrusted)
	h, _ := ParseHeader(parts[0])
	h.Signature = int64(len(legacy[2]))
	legacy[0] = h.Marshal()
	if _, err := open(legacy, pub); kind(err) != fault.Verify {
		t.Errorf("minisign's legacy form: %v", err)
	}
	text, _ := pub.MarshalText()
	keys, err := ParseKeys("# the house\n\n" + string(text) + "\n" + other.String() + "\n" + pub.String())
	if err != nil || len(keys) != 2 {
		t.Fatalf("%v: %v, want length 2", keys, err)
	}
	again, err := ParseKeys(keys.String())
	if err != nil || len(again) != 2 || !again[1].Equal(other) {
		t.Errorf("%q reads as %v, %v", keys.String(), again, err)
	}
	for _, bad := range []string{"RW", "nonsense", pub.String()[1:], pub.String() + "A", other.String() + " " + pub.String()} {
		if _, err := ParseKeys(bad); kind(err) != fault.Input {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// TestTampering changes every single byte, and cuts at every single one.
func TestTampering(t *testing.T) {
	pub, key := newKey(t)
	good := sample(t, key)
	refused := func(what string, parts [4][]byte, at int) {
		if _, err := open(parts, pub); err == nil {
			t.Errorf("%s: byte %d is changed, and the bundle is accepted", what, at)
		}
	}
	for part, what := range []string{"header", "manifest", "signature", "index"} {
		for at := range good[part] {
			flips := []byte{1, 0x80, 0xff, 0x20}
			if part != 2 {
				flips = flips[:2]
			}
			for _, x := range flips {
				bad := good
				bad[part] = slices.Clone(good[part])
				bad[part][at] ^= x
				refused(what, bad, at)
			}
			// As if the whole file ended here.
			cut := good
			cut[part] = good[part][:at]
			for i := part + 1; i < len(cut); i++ {
				cut[i] = nil
			}
			refused(what+" cut", cut, at)
			// And with a header that claims to be complete.
			if part > 0 {
				whole := good
				whole[part] = good[part][:at]
				h, _ := ParseHeader(good[0])
				*map[int]*int64{1: &h.Manifest, 2: &h.Signature, 3: &h.Index}[part] = int64(at)
				whole[0] = h.Marshal()
				refused(what+" shortened", whole, at)
			}
		}
	}
}

// TestCanonical: there is one text for one manifest, even if another one was signed.
func TestCanonical(t *testing.T) {
	x := sampleIndex()
	text, err := sampleManifest(x).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	m, err := ParseManifest(text)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := m.Marshal(); !bytes.Equal(again, text) {
		t.Error("a manifest is written in another way than it was read")
	}
	for what, f := range map[string]func(string) string{
		"space":         func(s string) string { return strings.Replace(s, `"rpi64"`, ` "rpi64"`, 1) },
		"no newline":    strings.TrimSpace,
		"more after it": func(s string) string { return s + "{}\n" },
		"twice":         func(s string) string { return strings.Replace(s, "{\n", "{\n\t\"family\": \"xu4\",\n", 1) },
		"unknown":       func(s string) string { return strings.Replace(s, "{\n", "{\n\t\"more\": 1,\n", 1) },
		"case":          func(s string) string { return strings.Replace(s, `"family"`, `"Family"`, 1) },
		"escape":        func(s string) string { return strings.Replace(s, `"rpi64"`, `"\u0072pi64"`, 1) },
		"no floor":      func(s string) string { return strings.Replace(s, "\t\"floor\": 3,\n", "", 1) },
		"large number":  func(s string) string { return strings.Replace(s, `"floor": 3`, `"floor": 3e0`, 1) },
		"empty":         func(string) string { return "" },
		"null":          func(string) string { return "null\n" },
	} {
		bad := f(string(text))
		if bad == string(text) {
			t.Fatalf("%s changes nothing", what)
		}
		if _, err := ParseManifest([]byte(bad)); kind(err) != fault.Verify {
			t.Errorf("%s: %v", what, err)
		}
	}
	newer := strings.Replace(string(text), `"format": 1`, `"format": 2`, 1)
	if _, err := ParseManifest([]byte(newer)); kind(err) != fault.Input {
		t.Errorf("a newer format: %v", err)
	}
}

func TestAccept(t *testing.T) {
	m := sampleManifest(sampleIndex())
	ok := Node{Family: "rpi64", Role: "worker", Floor: 3, Space: m.Slot.Size}
	if err := m.Accept(ok); err != nil {
		t.Error(err)
	}
	for what, c := range map[string]struct {
		change func(*Node)
		kind   fault.Kind
	}{
		"family": {func(n *Node) { n.Family = "xu4" }, fault.Input},
		"role":   {func(n *Node) { n.Role = "storage" }, fault.Input},
		"floor":  {func(n *Node) { n.Floor = 4 }, fault.Verify},
		"room":   {func(n *Node) { n.Space-- }, fault.Device},
	} {
		n := ok
		c.change(&n)
		if err := m.Accept(n); kind(err) != c.kind {
			t.Errorf("%s: %v", what, err)
		}
	}
	now := time.Unix(1000, 0)
	for expires, want := range map[int64]bool{0: false, 999: true, 1000: true, 1001: false} {
		if m.Expires = expires; m.Expired(now) != want {
			t.Errorf("expiry %d at 1000 is %v", expires, !want)
		}
	}
}

func FuzzIndex(f *testing.F) {
	f.Add(sampleIndex().Marshal())
	f.Add([]byte(indexMagic + "\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := ParseIndex(b)
		if err != nil {
			return
		}
		if !bytes.Equal(x.Marshal(), b) {
			t.Error("an index has two texts")
		}
		if x.Size > MaxSlot || x.Sent() > x.Size {
			t.Errorf("a slot of %d bytes, %d are sent", x.Size, x.Sent())
		}
	})
}

func FuzzManifest(f *testing.F) {
	text, err := sampleManifest(sampleIndex()).Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseManifest(b)
		if err != nil {
			return
		}
		if again, err := m.Marshal(); err != nil || !bytes.Equal(again, b) {
			t.Errorf("a manifest has two texts: %v", err)
		}
	})
}

func FuzzHeader(f *testing.F) {
	h := Header{Manifest: 1, Signature: 2, Index: 3, Deltas: []Delta{{Span: Span{Size: 4}}}, Pieces: Span{Size: 5}}
	f.Add(h.Marshal())
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ParseHeader(b)
		if err != nil {
			return
		}
		if h.Pieces.End() < 0 || h.Pieces.Off < HeaderSize {
			t.Errorf("%+v", h)
		}
	})
}

func FuzzSignature(f *testing.F) {
	pub, key := newKey(f)
	text := []byte("text")
	f.Add(Sign(key, text, "comment"))
	good := Sign(key, text, "comment")
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := (Keys{pub}).Verify(text, b); err == nil && !bytes.Equal(b, good) {
			t.Errorf("%q is accepted", b)
		}
	})
}
