package advert

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"imgbuild/init/router/frame"
)

var (
	start = time.Unix(1e9, 0)
	local = Local{frame.MAC{2, 0, 0, 0, 0, 3}, netip.MustParseAddr("fe80::3")}
)

func at(after time.Duration) time.Time { return start.Add(after) }

// net is a network with lifetimes from a moment on.
func net(text string, preferred, valid, from time.Duration) Network {
	return Network{netip.MustParsePrefix(text), at(from + preferred), at(from + valid)}
}

// show is an advertisement: the router's lifetime, and each network with its own.
func show(ad frame.Advert, due bool) string {
	if !due {
		return ""
	}
	words := []string{fmt.Sprint(ad.Lifetime)}
	for _, p := range ad.Prefixes {
		words = append(words, fmt.Sprintf("%s %d %d", p.Net, p.Preferred, p.Valid))
	}
	if ad.To != frame.GroupMAC(frame.AllNodes) {
		words = append(words, "to "+ad.Dst.String())
	}
	return strings.Join(words, ", ")
}

// What is advertised, and when.
func TestTick(t *testing.T) {
	const one, two = "2001:db8:1::/64", "2001:db8:2::/64"
	a := &Adverts{}
	check := func(after time.Duration, want string) {
		t.Helper()
		if got := show(a.Tick(local, at(after))); got != want {
			t.Errorf("%v: got %q, want %q", after, got, want)
		}
	}
	a.Set(nil, at(0))
	check(0, "") // no IPv6 on the uplink
	a.Set([]Network{net(one, time.Hour, 4*time.Hour, 0)}, at(0))
	if got := show(a.Tick(Local{}, at(0))); got != "" {
		t.Errorf("without an address of its own: got %q", got)
	}
	check(0, "1800, "+one+" 2700 5400")
	check(15*time.Second, "")
	check(16*time.Second, "1800, "+one+" 2700 5400")
	check(32*time.Second, "1800, "+one+" 2700 5400")
	check(48*time.Second, "1800, "+one+" 2700 5400")
	check(64*time.Second, "")
	check(48*time.Second+every, "1800, "+one+" 2700 5400")
	// The modem advertises the same, then another network: the old one is over.
	a.Set([]Network{net(one, time.Hour, 4*time.Hour, 5*time.Minute)}, at(5*time.Minute))
	check(5*time.Minute, "")
	a.Set([]Network{net(two, 10*time.Minute, 20*time.Minute, 6*time.Minute)}, at(6*time.Minute))
	check(6*time.Minute, "1800, "+one+" 0 5400, "+two+" 600 1200")
	// Without uplink the times go on, until all are over: then the router is no way out.
	a.Set(nil, at(16*time.Minute))
	check(16*time.Minute, "1800, "+one+" 0 5400, "+two+" 0 600")
	a.Set(nil, at(26*time.Minute))
	check(26*time.Minute, "1800, "+one+" 0 5400")
	a.Set(nil, at(6*time.Minute+over))
	check(6*time.Minute+over, "0")
	check(7*time.Minute+over, "0")
	check(8*time.Minute+over, "0")
	check(9*time.Minute+over, "0")
	check(10*time.Minute+over, "")
	check(24*time.Hour, "")
}

// A board that asks is answered; one without an address with all others, and not too often.
func TestAsked(t *testing.T) {
	board := frame.ND{From: frame.MAC{2, 0, 0, 0, 0, 0x10}, Src: netip.MustParseAddr("fe80::10"), Type: frame.RouterSolicit}
	a := &Adverts{}
	if got := show(a.Asked(board, local, at(0))); got != "" {
		t.Errorf("without a network: got %q", got)
	}
	a.Set([]Network{net("2001:db8::/64", time.Minute, time.Hour, 0)}, at(0))
	a.Tick(local, at(0))
	if got, want := show(a.Asked(board, local, at(time.Second))), "1800, 2001:db8::/64 59 3599, to fe80::10"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	board.Src = netip.IPv6Unspecified()
	if got := show(a.Asked(board, local, at(time.Second))); got != "" {
		t.Errorf("got %q, want nothing yet", got)
	}
	for after, want := range map[time.Duration]bool{2 * time.Second: false, 3 * time.Second: true} {
		b := *a
		if got := show(b.Tick(local, at(after))); (got != "") != want {
			t.Errorf("%v: got %q, want %v", after, got, want)
		}
	}
}

// What was kept is advertised as long as it holds.
func TestLoad(t *testing.T) {
	a := &Adverts{}
	a.Set([]Network{net("2001:db8::/64", time.Hour, 2*time.Hour, 0)}, at(0))
	kept, changed := a.Save()
	if !changed || len(kept) != 1 {
		t.Fatalf("got %+v, %v", kept, changed)
	}
	if _, changed := a.Save(); changed {
		t.Error("kept twice")
	}
	a.Set([]Network{net("2001:db8::/64", time.Hour, 2*time.Hour, 30*time.Minute)}, at(30*time.Minute))
	if _, changed := a.Save(); changed {
		t.Error("kept again for other times")
	}
	a.Set([]Network{net("2001:db8::/64", time.Hour, 2*time.Hour, keep)}, at(keep))
	if _, changed := a.Save(); !changed {
		t.Error("the times on the disk are too old")
	}
	for after, want := range map[time.Duration]string{time.Minute: "1800, 2001:db8::/64 2700 5400", 90 * time.Minute: "1800, 2001:db8::/64 0 1800", 3 * time.Hour: ""} {
		b := &Adverts{}
		b.Load(append(kept, net("10.0.0.0/24", time.Hour, time.Hour, after), net("fe80::/10", time.Hour, time.Hour, after)), at(after))
		if got := show(b.Tick(local, at(after))); got != want {
			t.Errorf("%v: got %q, want %q", after, got, want)
		}
		if got := len(b.Networks(at(after))); (got == 1) != (want != "") {
			t.Errorf("%v: got %d networks", after, got)
		}
	}
}

// A neighbour that advertises networks without end fills no memory.
func TestLimit(t *testing.T) {
	a := &Adverts{}
	for i := range 100 {
		a.Set([]Network{net(fmt.Sprintf("2001:db8:%x::/64", i), time.Hour, time.Hour, 0)}, at(0))
	}
	if got := a.Networks(at(0)); len(got) != maxNetworks || !slices.Contains(got, netip.MustParsePrefix("2001:db8:63::/64")) {
		t.Errorf("got %v, want %d, and the newest", got, maxNetworks)
	}
}
