package powercut

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// TestSamples: different states, out of every scenario and of recoveries, each with at least one
// boot; the same ones for a seed.
func TestSamples(t *testing.T) {
	all, err := Samples(1, 100)
	if err != nil {
		t.Fatal(err)
	}
	scenario := map[string]int{}
	kinds := map[Source]int{}
	torn := 0
	for _, s := range all {
		name, _, _ := strings.Cut(s.Name, ", after")
		scenario[name]++
		if len(s.Boots) == 0 {
			t.Errorf("%s: nothing boots", s.Name)
		}
		for _, f := range s.First {
			kinds[f[0]]++
			if slices.Max(f[:]) != slices.Min(f[:]) {
				torn++
			}
		}
	}
	t.Logf("%v, sources %v, %d torn first sectors", scenario, kinds, torn)
	for _, want := range []string{"upgrade, slot b good", "upgrade, slot b empty", "commit", "rollback", "upgrade, slot b good, recovery"} {
		if scenario[want] == 0 {
			t.Errorf("no state of %q", want)
		}
	}
	if kinds[Zero] == 0 || kinds[One] == 0 || kinds[System] == 0 || torn == 0 {
		t.Errorf("sources of first bytes: %v, %d torn", kinds, torn)
	}
	again, err := Samples(1, 100)
	if err != nil {
		t.Fatal(err)
	}
	for i := range all {
		if all[i].Name != again[i].Name || !bytes.Equal(all[i].Record[0], again[i].Record[0]) || all[i].First != again[i].First {
			t.Fatalf("sample %d differs: %s and %s", i, all[i].Name, again[i].Name)
		}
	}
}

func TestSources(t *testing.T) {
	system, other := bytes.Repeat([]byte{7}, Sector), bytes.Repeat([]byte{9}, Sector)
	sector := append(append(bytes.Clone(system[:12]), make([]byte, 100)...), bytes.Repeat([]byte{0xff}, 400)...)
	if b := sources(bytes.Repeat([]byte{0xff}, Sector), [][]byte{bytes.Repeat([]byte{0xff}, Sector)}); b[0] != One || b[Sector-1] != One {
		t.Errorf("ones come from %v", b)
	}
	b := sources(sector, [][]byte{other, system})
	if got := b.Of(bytes.Repeat([]byte{5}, Sector)); !bytes.Equal(got, append(append(bytes.Repeat([]byte{5}, 12), make([]byte, 100)...), bytes.Repeat([]byte{0xff}, 400)...)) {
		t.Errorf("got %v", got)
	}
}
