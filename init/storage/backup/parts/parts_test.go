package parts

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"imgbuild/init/contract/fault"

	"filippo.io/age"
)

// place keeps files in memory. It fails after a number of bytes, once.
type place struct {
	files map[int][]byte
	left  int // bytes until it fails; -1: never
}

var errFull = errors.New("the place is full")

func (p *place) put(i int, r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if p.left >= 0 {
		if p.left -= len(data); p.left < 0 {
			p.left = -1
			return errFull
		}
	}
	p.files[i] = data
	return nil
}

func (p *place) get(i int) (io.ReadCloser, error) {
	data, ok := p.files[i]
	if !ok {
		return nil, errors.New("there is no such file")
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

func identity(t testing.TB) *age.X25519Identity {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// Whatever the length of a stream, and wherever it is cut, it comes back, and no part that was
// written is written again.
func TestRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 5))
	id, other := identity(t), identity(t)
	const size = 1000
	cuts := 0
	for _, n := range []int{1, 999, 1000, 1001, 2000, 5000, 12345} {
		for range 8 {
			stream := make([]byte, n)
			for i := range stream {
				stream[i] = byte(r.Uint32())
			}
			p := &place{map[int][]byte{}, r.IntN(2 * n)}
			var journal []Part
			w := Writer{To: []age.Recipient{other.Recipient(), id.Recipient()}, Size: size, Put: p.put, Note: func(done []Part) error { journal = slices.Clone(done); return nil }}
			list, err := w.Write(t.Context(), bytes.NewReader(stream), nil)
			for err != nil {
				if !errors.Is(err, errFull) {
					t.Fatal(err)
				}
				cuts++
				kept := map[int]string{}
				for i := range journal {
					kept[i] = string(p.files[i])
				}
				list, err = w.Write(t.Context(), bytes.NewReader(stream), journal)
				for i, old := range kept {
					if string(p.files[i]) != old {
						t.Fatalf("part %d was written again", i)
					}
				}
			}
			if want := (n + size - 1) / size; len(list) != want {
				t.Fatalf("%d bytes: got %d parts, want %d", n, len(list), want)
			}
			var back bytes.Buffer
			if err := (List{Parts: list}).Read(t.Context(), []age.Identity{id}, p.get, &back); err != nil || !bytes.Equal(back.Bytes(), stream) {
				t.Fatalf("%d bytes: got %d back, %v", n, back.Len(), err)
			}
			for i, f := range p.files {
				if n > 32 && bytes.Contains(f, stream[:min(n, size)][:16]) {
					t.Fatalf("part %d is readable", i)
				}
			}
			if err := (List{Parts: list}).Read(t.Context(), []age.Identity{identity(t)}, p.get, io.Discard); fault.Code(err) != int(fault.Input) {
				t.Fatalf("another identity: got %v, want an input error", err)
			}
			i := r.IntN(len(list))
			p.files[i][r.IntN(len(p.files[i]))] ^= 1
			if err := (List{Parts: list}).Read(t.Context(), []age.Identity{id}, p.get, io.Discard); err == nil {
				t.Fatal("a changed part was read")
			}
		}
	}
	if cuts < 10 {
		t.Errorf("only %d transfers were cut", cuts)
	}
}

// Parts of another stream are not gone on from, and parts in another order are not read.
func TestStrangeParts(t *testing.T) {
	id := identity(t)
	p := &place{map[int][]byte{}, -1}
	w := Writer{To: []age.Recipient{id.Recipient()}, Size: 10, Put: p.put}
	list, err := w.Write(t.Context(), bytes.NewReader(bytes.Repeat([]byte("abcdefghij"), 2)), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, stream := range map[string]string{"another": "ABCDEFGHIJabcdefghij", "a longer part": "abcdefghijabcdefghi", "a shorter stream": "abcdefghij"} {
		if _, err := w.Write(t.Context(), bytes.NewReader([]byte(stream)), list); !errors.Is(err, ErrDiffers) {
			t.Errorf("%s: got %v, want ErrDiffers", name, err)
		}
	}
	p.files[0], p.files[1] = p.files[1], p.files[0]
	if err := (List{Parts: list}).Read(t.Context(), []age.Identity{id}, p.get, io.Discard); fault.Code(err) != int(fault.Verify) {
		t.Errorf("parts that were exchanged: got %v, want a verify error", err)
	}
}

func TestList(t *testing.T) {
	seed := bytes.Repeat([]byte{7}, ed25519.SeedSize)
	public := ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
	l := List{"nas-1", "photos", "@GMT-2026.11.30-12.00.00", "abcd", "@GMT-2026.11.29-12.00.00", []Part{{Size: 5, Sum: "s"}}}
	data, err := l.Sign(seed)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Open(data, public); err != nil || fmt.Sprint(got) != fmt.Sprint(l) {
		t.Errorf("got %v, %v, want %v", got, err, l)
	}
	for i := range data {
		changed := bytes.Clone(data)
		changed[i] ^= 2
		if _, err := Open(changed, public); fault.Code(err) != int(fault.Verify) {
			t.Errorf("byte %d changed: got %v, want a verify error", i, err)
		}
		if _, err := Open(data[:i], public); fault.Code(err) != int(fault.Verify) {
			t.Errorf("cut after %d: got %v, want a verify error", i, err)
		}
	}
	strange := ed25519.NewKeyFromSeed(make([]byte, 32)).Public().(ed25519.PublicKey)
	for name, key := range map[string]ed25519.PublicKey{"another": strange, "none": nil} {
		if _, err := Open(data, key); fault.Code(err) != int(fault.Verify) {
			t.Errorf("signer %s: got %v, want a verify error", name, err)
		}
	}
	if _, err := l.Sign(seed[:5]); err == nil {
		t.Error("a short key: got no error")
	}
}

func FuzzOpen(f *testing.F) {
	seed := make([]byte, ed25519.SeedSize)
	public := ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
	data, err := List{Parts: []Part{{}}}.Sign(seed)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(magic + "\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if l, err := Open(b, public); err == nil && len(l.Parts) == 0 {
			t.Error("a list without parts was accepted")
		}
	})
}

func lists(text ...string) (all []List) { // NAME or NAME<BASE
	for _, s := range text {
		l := List{Name: s[:1]}
		if len(s) > 1 {
			l.Base = s[2:]
		}
		all = append(all, l)
	}
	return all
}

func TestChain(t *testing.T) {
	for _, c := range []struct {
		all  []List
		name string
		want string // names in order; empty for an error
	}{
		{lists("a"), "a", "a"}, {lists("c<b", "a", "b<a"), "c", "abc"}, {lists("c<b", "a", "b<a", "d"), "b", "ab"},
		{lists("c<b", "a"), "c", ""}, {lists("a<b", "b<a"), "a", ""}, {lists("a"), "x", ""}, {lists("a<a"), "a", ""},
	} {
		chain, err := Chain(c.all, c.name)
		got := ""
		for _, l := range chain {
			got += l.Name
		}
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%v to %s: got %q, %v, want %q", c.all, c.name, got, err, c.want)
		}
	}
}

func TestSurplusChains(t *testing.T) {
	for _, c := range []struct {
		all  []List
		want string
	}{
		{nil, ""}, {lists("a", "b<a"), ""}, {lists("a", "b<a", "c", "d<c"), ""}, {lists("a", "b<a", "c", "d<c", "e"), "ab"},
		{lists("a", "b<x", "c"), "b"}, {lists("e", "c", "a", "d<c", "b<a"), "ab"},
	} {
		got := ""
		for _, name := range Surplus(c.all, 2) {
			got += name
		}
		if got != c.want {
			t.Errorf("%v: got %q, want %q", c.all, got, c.want)
		}
	}
}

func TestMissing(t *testing.T) {
	list := []Part{{Size: 5}, {Size: 6}, {Size: 7}}
	if got := Missing(list, map[string]int64{FileOf(0): 5, FileOf(1): 5}); !slices.Equal(got, []int{1, 2}) {
		t.Errorf("got %v, want [1 2]", got)
	}
}
