package bundle

import (
	"bytes"
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"testing"

	"aead.dev/minisign"

	"imgbuild/builder/blockcache"
	"imgbuild/init/contract/bundle"
	"imgbuild/init/contract/delta"
	"imgbuild/init/contract/fault"
)

// TestOffer: a bundle without deltas gets one on its way to a node, and the node makes the slot
// from it.
func TestOffer(t *testing.T) {
	p := &pair{old: makeSlot(t, first), new: makeSlot(t, second)}
	p.from, p.to = open(t, p.old), open(t, p.new)
	pub, key, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p.pub = pub
	b, err := Sign(p.to, key, Options{Floor: Floor})
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "new.upgrade")
	if err := WriteFile(t.Context(), name, b); err != nil {
		t.Fatal(err)
	}
	if sum, err := SumOf(name); err != nil || sum != p.to.Sum {
		t.Errorf("SumOf: got %x, %v, want %x", sum, err, p.to.Sum)
	}
	o, err := OpenOffer(name)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if k, err := (bundle.Keys{pub}).Verify(o.Text, o.Signature); err != nil || !k.Equal(pub) {
		t.Errorf("the offer is not what was signed: %v", err)
	}
	cache, err := blockcache.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	opened := 0
	made := func() *os.File {
		f, err := DeltaOf(t.Context(), cache, p.from.Sum, p.to.Sum, func() (*Slot, *Slot, error) {
			opened++
			return p.from, p.to, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	made()
	d := made()
	if opened != 1 {
		t.Errorf("the delta was made %d times, want 1", opened)
	}
	for _, f := range []*os.File{nil, d} {
		src, err := o.Source(p.from.Sum, f)
		if err != nil {
			t.Fatal(err)
		}
		whole, err := bundle.Open(context.Background(), src, bundle.Keys{pub})
		if err != nil {
			t.Fatal(err)
		}
		got := &disk{fail: -1}
		res, err := delta.Apply(t.Context(), delta.Options{Bundle: whole, Old: p.old, OldSum: p.from.Sum, New: got})
		if err != nil {
			t.Fatal(err)
		}
		p.right(t, got, res)
		if used := res.Patched > 0; used != (f != nil) {
			t.Errorf("with a delta %v: %+v", f != nil, res)
		}
	}
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	short := filepath.Join(t.TempDir(), "short.upgrade")
	for what, content := range map[string][]byte{"cut": data[:len(data)-1], "empty": nil, "other": bytes.Repeat([]byte("x"), 5000), "header only": data[:600]} {
		if err := os.WriteFile(short, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenOffer(short); fault.Code(err) != int(fault.Input) && what != "header only" || err == nil {
			t.Errorf("%s: got %v", what, err)
		}
	}
}
