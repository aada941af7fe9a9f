package backup

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"imgbuild/init/contract/config"
	"imgbuild/init/storage/snapshots"
)

var noon = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// day is a whole snapshot of a day; its stream is the day's number.
func day(n int) Snap {
	return Snap{snapshots.Name(noon.AddDate(0, 0, n)), fmt.Sprint("s", n), uint64(100 + n), true}
}

func cut(s Snap) Snap { s.Whole, s.Stream = false, ""; return s }

func days(list ...int) (out []Snap) {
	for _, n := range list {
		out = append(out, day(n))
	}
	return out
}

func TestNext(t *testing.T) {
	for _, c := range []struct {
		name       string
		own, there []Snap
		send, base string // streams; empty for none
	}{
		{"nothing", nil, nil, "", ""},
		{"the first", days(1), nil, "s1", ""},
		{"it is there", days(1), days(1), "", "s1"},
		{"the next", days(1, 2), days(1), "s2", "s1"},
		{"the newest of both is the base", days(1, 2, 3), days(1, 2), "s3", "s2"},
		{"one in between was never there", days(1, 2, 3), days(1), "s3", "s1"},
		{"the base is gone there", days(2, 3), days(1), "s3", ""},
		{"cut there", days(1, 2), []Snap{day(1), cut(day(2))}, "s2", "s1"},
		{"cut here", []Snap{day(1), cut(day(2))}, days(1), "", "s1"},
		{"another file system's of the same name", days(1, 2), []Snap{{day(1).Name, "x", 1, true}}, "s2", ""},
		{"the clock was wrong", []Snap{{snapshots.Name(noon.AddDate(9, 0, 0)), "future", 5, true}, day(1), day(2)}, days(1), "s2", "s1"},
		{"a place that is ahead", days(1), days(1, 2, 3), "", "s1"},
	} {
		send, base := Next(c.own, c.there)
		got := [2]string{}
		for i, s := range []*Snap{send, base} {
			if s != nil {
				got[i] = s.Stream
			}
		}
		if got != [2]string{c.send, c.base} {
			t.Errorf("%s: got %v, want %s from %s", c.name, got, c.send, c.base)
		}
	}
}

func TestSurplus(t *testing.T) {
	daily := []config.SnapshotRule{{Unit: "daily", Count: 2}}
	for _, c := range []struct {
		name  string
		rules []config.SnapshotRule
		there []Snap
		base  string
		want  []int
	}{
		{"nothing", daily, nil, "", nil},
		{"as many as are kept", daily, days(-1, 0), "", nil},
		{"one too many", daily, days(-2, -1, 0), "", []int{-2}},
		{"the base stays", daily, days(-3, -2, -1, 0), "s-3", []int{-2}},
		{"no rule keeps all", nil, days(-3, -2, -1, 0), "", nil},
		{"of the future", daily, days(-2, -1, 0, 5), "", []int{-2}},
		{"one that was cut is not counted", daily, []Snap{day(-1), cut(day(-2)), day(0)}, "", nil},
	} {
		var want []string
		for _, n := range c.want {
			want = append(want, day(n).Name)
		}
		if got := Surplus(c.rules, c.there, c.base, noon); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", c.name, got, want)
		}
	}
}

func TestUnneeded(t *testing.T) {
	for _, c := range []struct {
		name  string
		own   []Snap
		bases []string
		want  []string
	}{
		{"nothing", nil, nil, nil},
		{"the newest stays", days(1), nil, nil},
		{"what no place begins from", days(1, 2), nil, []string{day(1).Name}},
		{"bases of two places", days(1, 2, 3, 4), []string{"s1", "s3"}, []string{day(2).Name}},
		{"one that is not whole", []Snap{day(1), cut(day(2))}, nil, []string{day(2).Name}},
	} {
		if got := Unneeded(c.own, c.bases); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func TestNameAt(t *testing.T) {
	for _, c := range []struct {
		have []Snap
		want time.Time
	}{{nil, noon}, {days(-1), noon}, {days(0), noon.Add(time.Second)}, {days(2), noon.AddDate(0, 0, 2).Add(time.Second)}} {
		if got := NameAt(c.have, noon); got != snapshots.Name(c.want) {
			t.Errorf("%v: got %s, want %s", c.have, got, snapshots.Name(c.want))
		}
	}
}

// Whatever happens to transfers, and to disks that come in turn: what is sent has a base that both
// sides have whole, or none; after a transfer both have the newest one; what is dropped on either
// side never costs a place the base of its next transfer, and what a cut leaves is dropped.
func TestPlanAlways(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 4))
	rules := []config.SnapshotRule{{Unit: "daily", Count: 3}, {Unit: "monthly", Count: 2}}
	whole, increments, cuts := 0, 0, 0
	for range 200 {
		var own []Snap
		there := map[string][]Snap{"a": nil, "b": nil}
		bases := map[string]string{}
		now, gen := noon, uint64(0)
		for range 60 {
			now = now.Add(time.Duration(r.IntN(60)) * time.Hour)
			if r.IntN(20) == 0 {
				now = now.Add(-time.Duration(r.IntN(2000)) * time.Hour) // a clock that jumps
			}
			place := []string{"a", "b"}[r.IntN(2)]
			if r.IntN(3) > 0 || len(own) == 0 { // something was written
				gen++
				own = append(own, Snap{NameAt(own, now), fmt.Sprint("g", gen), gen, true})
			}
			names := append(Cut(there[place]), Surplus(rules, there[place], bases[place], now)...)
			there[place] = slices.DeleteFunc(there[place], func(s Snap) bool { return slices.Contains(names, s.Name) })
			past := 0
			for _, sn := range there[place] {
				if at, _ := snapshots.Time(sn.Name); sn.Whole && !at.After(now) {
					past++
				}
			}
			if past > 3+2+2 { // by the rules, the newest, and the base
				t.Fatalf("%s keeps %d: %v", place, past, there[place])
			}
			send, base := Next(own, there[place])
			if base != nil && (!has(own, base.Stream) || !has(there[place], base.Stream)) {
				t.Fatalf("the base %+v is not on both sides: %v, %v", base, own, there[place])
			}
			if b := bases[place]; b != "" && base == nil {
				t.Fatalf("the base %s of %s is lost: %v, %v", b, place, own, there[place])
			}
			switch {
			case send == nil:
				bases[place] = base.Stream
			case r.IntN(4) == 0: // cut
				cuts++
				there[place] = append(there[place], cut(*send))
				continue
			default:
				if base == nil {
					whole++
				} else {
					increments++
				}
				there[place] = append(there[place], *send)
				bases[place] = send.Stream
			}
			if newest := byAge(own); !has(there[place], newest[len(newest)-1].Stream) {
				t.Fatalf("the newest is not there: %v, %v", own, there[place])
			}
			drop := Unneeded(own, []string{bases["a"], bases["b"]})
			own = slices.DeleteFunc(own, func(s Snap) bool { return slices.Contains(drop, s.Name) })
			if len(own) > 3 {
				t.Fatalf("%d snapshots are kept for two places: %v", len(own), own)
			}
		}
	}
	if whole < 200 || whole > 400 || increments < 3000 || cuts < 1000 {
		t.Errorf("got %d whole, %d increments, %d cuts: too few of a kind, or wholes that were not due", whole, increments, cuts)
	}
}

func TestDue(t *testing.T) {
	ago := func(d time.Duration) time.Time { return noon.Add(-d) }
	for _, c := range []struct {
		name    string
		p       Place
		plugged bool
		want    bool
	}{
		{"the first", Place{}, true, true},
		{"the first, later", Place{}, false, true},
		{"just made", Place{Good: ago(time.Minute)}, true, false},
		{"of today, attached again", Place{Good: ago(5 * time.Hour)}, true, true},
		{"of today", Place{Good: ago(5 * time.Hour)}, false, false},
		{"of yesterday", Place{Good: ago(25 * time.Hour)}, false, true},
		{"of the future", Place{Good: ago(-48 * time.Hour)}, false, true},
		{"failed just now", Place{Tried: ago(time.Minute), Fails: 1}, false, false},
		{"failed, attached again", Place{Tried: ago(time.Minute), Fails: 1}, true, true},
		{"failed a while ago", Place{Tried: ago(11 * time.Minute), Fails: 1}, false, true},
		{"failed often", Place{Tried: ago(5 * time.Hour), Fails: 99}, false, false},
		{"failed often, long ago", Place{Tried: ago(7 * time.Hour), Fails: 99}, false, true},
		{"failed in the future", Place{Tried: ago(-time.Hour), Fails: 1}, false, true},
	} {
		if got := Due(c.p, c.plugged, noon); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func TestTrouble(t *testing.T) {
	for name, c := range map[string]struct {
		s    State
		want string // part of the line; empty for none
	}{
		"nothing enrolled": {State{}, ""},
		"none yet":         {State{Places: map[string]Place{"stick": {}}}, "no backup yet (stick;"},
		"young":            {State{Places: map[string]Place{"a": {Good: noon.AddDate(0, 0, -90)}, "b": {Good: noon.AddDate(0, 0, -1)}}}, ""},
		"old":              {State{Places: map[string]Place{"a": {Good: noon.AddDate(0, 0, -90)}, "b": {Good: noon.AddDate(0, 0, -20)}}}, "20 days old"},
	} {
		if got := c.s.trouble(noon); (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}
