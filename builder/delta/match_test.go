package delta

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
)

// noise is n bytes in which nothing comes again.
func noise(seed uint64, n int) []byte {
	r := rand.NewChaCha8([32]byte{byte(seed)})
	b := make([]byte, n)
	r.Read(b)
	return b
}

// rebuilt checks that list describes new, and returns what it costs: literals, copied bytes that
// differ, and steps.
func rebuilt(t *testing.T, old, new []byte, list []part, reach int) (literals, differ, steps int) {
	t.Helper()
	at := 0
	for i, p := range list {
		if p.literals < 0 || p.copied < 0 || p.literals+p.copied == 0 || at+p.literals+p.copied > len(new) {
			t.Fatalf("part %d of %d is %+v at %d of %d", i, len(list), p, at, len(new))
		}
		at += p.literals
		literals += p.literals
		if p.copied == 0 {
			continue
		}
		if p.pos < 0 || p.pos+p.copied > len(old) {
			t.Fatalf("part %d copies %d bytes from %d of %d", i, p.copied, p.pos, len(old))
		}
		if far := abs(p.pos - at); reach > 0 && far > reach {
			t.Fatalf("part %d copies from %d bytes away, the reach is %d", i, far, reach)
		}
		differ += p.copied - equals(new[at:at+p.copied], old[p.pos:p.pos+p.copied])
		at += p.copied
		steps++
	}
	if at != len(new) {
		t.Fatalf("%d parts describe %d of %d bytes", len(list), at, len(new))
	}
	return literals, differ, steps
}

// TestParts: what is inserted, removed, moved or changed byte by byte costs about as much as it is
// long, with a reach and without one.
func TestParts(t *testing.T) {
	old := noise(1, 1<<20)
	fresh := noise(2, 1<<10)
	addresses := slices.Clone(old) // two bytes of each 24 differ, as in code that moved
	for i := 100; i < len(addresses); i += 24 {
		addresses[i]++
		addresses[i+1]--
	}
	for _, c := range []struct {
		name                    string
		new                     []byte
		literals, differ, steps int // at most
	}{
		{"the same", old, 0, 0, 1},
		{"nothing", nil, 0, 0, 0},
		{"shorter than a seed", old[:10], 0, 0, 1},
		{"all new", noise(3, 1<<16), 1 << 16, 1 << 10, 60},
		{"one byte", slices.Replace(slices.Clone(old), 5000, 5001, old[5000]+1), 0, 1, 1},
		{"inserted", slices.Insert(slices.Clone(old), 300_000, fresh...), 1040, 20, 2},
		{"removed", slices.Delete(slices.Clone(old), 300_000, 400_000), 20, 20, 2},
		{"moved", slices.Concat(old[100_000:200_000], old[:100_000], old[200_000:]), 60, 40, 4},
		{"addresses", addresses, 0, 2 * len(old) / 24, 1},
		{"addresses, inserted", slices.Insert(slices.Clone(addresses), 300_000, fresh...), 1060, 2*len(old)/24 + 20, 3},
		{"cut", old[:len(old)-7], 0, 0, 1},
		{"longer", slices.Concat(old, fresh), 1 << 10, 10, 2},
	} {
		for _, reach := range []int{0, 256 << 10} {
			literals, differ, steps := rebuilt(t, old, c.new, newMatcher(old, reach).parts(c.new, 0), reach)
			if literals > c.literals || differ > c.differ || steps > c.steps {
				t.Errorf("%s, reach %d: %d literals, %d that differ, %d steps, want at most %d, %d, %d",
					c.name, reach, literals, differ, steps, c.literals, c.differ, c.steps)
			}
		}
	}
}

// TestReach: beyond its reach nothing is copied, within it everything, however long the content.
func TestReach(t *testing.T) {
	const reach = 64 << 10
	old := noise(1, 1<<20)
	for move, want := range map[int]int{reach / 2: 32 << 10, 2 * reach: 1 << 20} {
		new := slices.Concat(noise(2, move), old[:len(old)-move])
		literals, _, _ := rebuilt(t, old, new, newMatcher(old, reach).parts(new, 0), reach)
		if limit := want + want/8; literals > limit {
			t.Errorf("moved by %d: %d literals, want at most %d", move, literals, limit)
		}
		if move > reach && literals < len(new)/2 {
			t.Errorf("moved by %d, beyond the reach: %d literals, want nearly all of %d", move, literals, len(new))
		}
	}
}

// TestRepetition: contents that are nearly the same everywhere take no longer than others. A search
// that compared each place with all others would not end.
func TestRepetition(t *testing.T) {
	for _, unit := range []string{"\x00", "ab", "one line of a table\n", string(noise(4, 300))} {
		old := bytes.Repeat([]byte(unit), 4<<20/len(unit))
		new := slices.Clone(old)
		for i := 0; i < len(new); i += 97 {
			new[i]++
		}
		literals, differ, _ := rebuilt(t, old, new, newMatcher(old, 0).parts(new, 0), 0)
		if literals+differ > len(new)/97+2000 {
			t.Errorf("%.10q: %d literals and %d that differ, want about %d", unit, literals, differ, len(new)/97)
		}
	}
}

// TestRandomEdits: whatever is done to a content, the parts make it, and the same ones each time.
func TestRandomEdits(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		old := noise(r.Uint64(), r.IntN(20_000))
		new := slices.Clone(old)
		for range r.IntN(20) {
			at := r.IntN(len(new) + 1)
			to := min(len(new), at+r.IntN(500))
			switch r.IntN(4) {
			case 0:
				new = slices.Delete(new, at, to)
			case 1:
				new = slices.Insert(new, at, slices.Clone(new[at:to])...)
			case 2:
				new = slices.Insert(new, at, noise(r.Uint64(), r.IntN(300))...)
			case 3:
				for i := at; i < to; i += 1 + r.IntN(9) {
					new[i] += byte(1 + r.IntN(255))
				}
			}
		}
		reach := r.IntN(2) * 4096
		from := r.IntN(len(old) + 1)
		if reach > 0 {
			from = 0
		}
		list := newMatcher(old, reach).parts(new, from)
		rebuilt(t, old, new, list, reach)
		if again := newMatcher(old, reach).parts(new, from); !slices.Equal(list, again) {
			t.Fatal("other parts the second time")
		}
	}
}
