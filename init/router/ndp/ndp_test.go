package ndp

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"imgbuild/init/router/frame"
	"imgbuild/init/router/neighbour"
)

const (
	shelf  = neighbour.Shelf
	uplink = neighbour.Uplink
)

var (
	board   = frame.MAC{2, 0, 0, 0, 0, 0x10}
	second  = frame.MAC{2, 0, 0, 0, 0, 0x11}
	modem   = frame.MAC{2, 0, 0, 0, 0, 1}
	upMAC   = frame.MAC{2, 0, 0, 0, 0, 2}
	shelfMA = frame.MAC{2, 0, 0, 0, 0, 3}
	network = netip.MustParsePrefix("2001:db8::/64")
	own     = netip.MustParseAddr("2001:db8::9")
	x       = netip.MustParseAddr("2001:db8::50")
	y       = netip.MustParseAddr("2001:db8::51")
	near    = netip.MustParseAddr("fe80::10") // of the board
	far     = netip.MustParseAddr("fe80::1")  // of the modem
	none    = netip.IPv6Unspecified()
	start   = time.Unix(1e9, 0)
)

func at(after time.Duration) Facts {
	return Facts{
		Now: start.Add(after), Networks: []netip.Prefix{network}, Own: []netip.Addr{own},
		Local: [2]netip.Addr{shelf: netip.MustParseAddr("fe80::3"), uplink: netip.MustParseAddr("fe80::2")}, MAC: [2]frame.MAC{shelf: shelfMA, uplink: upMAC},
	}
}

func asks(mac frame.MAC, from, target netip.Addr) frame.ND {
	n := frame.ND{From: mac, Src: from, Dst: frame.Group(target), Type: frame.NeighbourSolicit, Target: target, Link: mac}
	n.To = frame.GroupMAC(n.Dst)
	if from == none {
		n.Link = frame.MAC{}
	}
	return n
}

func answers(mac frame.MAC, target netip.Addr) frame.ND {
	return frame.ND{From: mac, Src: target, Dst: netip.MustParseAddr("fe80::3"), Type: frame.NeighbourAdvert, Target: target, Link: mac, Solicited: true, Override: true}
}

// show is what steps do. A frame that cannot be read is one that machines do not heed.
func show(t *testing.T, steps []Step) string {
	t.Helper()
	var words []string
	name := map[frame.MAC]string{board: "board", second: "second", modem: "modem", frame.GroupMAC(frame.AllNodes): "all", frame.GroupMAC(frame.Group(x)): "group"}
	for _, s := range steps {
		switch s.Kind {
		case AddRoute:
			words = append(words, "add "+s.Board.IP.String())
		case DelRoute:
			words = append(words, "del "+s.Board.IP.String())
		case Send:
			n := s.ND
			if got, ok := frame.ParseND(n.Bytes()); !ok || got != n || n.From != at(0).MAC[s.Side] {
				t.Errorf("%+v cannot be read, or is from another card", n)
			}
			what := "asks for " + n.Target.String()
			switch {
			case n.Type == frame.NeighbourAdvert:
				what = "has " + n.Target.String()
				if n.Override {
					what += " now"
				}
			case n.Src == none:
				what = "asks for duplicates of " + n.Target.String()
			}
			words = append(words, fmt.Sprintf("%s: %s to %s", [...]string{"shelf", "uplink"}[s.Side], what, name[n.To]))
		}
	}
	return strings.Join(words, "; ")
}

func check(t *testing.T, what string, steps []Step, want string) {
	t.Helper()
	if got := show(t, steps); got != want {
		t.Errorf("%s:\ngot  %s\nwant %s", what, got, want)
	}
}

const learnt = "add 2001:db8::50; uplink: has 2001:db8::50 now to all"

// One event each, on a table that knows nothing, or X at the time 0.
func TestReceive(t *testing.T) {
	multicast := frame.MAC{1, 0, 0, 0, 0, 1}
	for _, c := range []struct {
		name  string
		known bool
		side  neighbour.Side
		nd    frame.ND
		want  string
	}{
		{"a board asks with its address", false, shelf, asks(board, x, netip.MustParseAddr("fe80::3")), learnt},
		{"a board answers", false, shelf, answers(board, x), learnt},
		{"a board is seen again", true, shelf, answers(board, x), ""},
		{"another board has the address now", true, shelf, answers(second, x), ""},
		{"a link-local address", false, shelf, answers(board, near), ""},
		{"an address of another network", false, shelf, answers(board, netip.MustParseAddr("2001:db8:1::1")), ""},
		{"the network's address", false, shelf, answers(board, network.Addr()), ""},
		{"the router's address", false, shelf, answers(board, own), ""},
		{"a frame of the router", false, shelf, answers(shelfMA, x), ""},
		{"a frame of the router on the other side", false, shelf, answers(upMAC, x), ""},
		{"a group as the sender", false, shelf, answers(multicast, x), ""},

		{"a board forms its address", false, shelf, asks(board, none, x), "uplink: asks for duplicates of 2001:db8::50 to group"},
		{"a board asks for the router's address", false, shelf, asks(board, near, own), "shelf: has 2001:db8::9 to board"},
		{"a board wants the router's address", false, shelf, asks(board, none, own), "shelf: has 2001:db8::9 now to all"},
		{"a board asks for a machine of the uplink", false, shelf, asks(board, near, x), "uplink: asks for 2001:db8::50 to group"},
		{"a board asks for one of the shelf", true, shelf, asks(second, near, x), ""},

		{"the modem asks for somebody unknown", false, uplink, asks(modem, far, x), "shelf: asks for 2001:db8::50 to group"},
		{"the modem asks for a board", true, uplink, asks(modem, far, x), "shelf: asks for 2001:db8::50 to board"},
		{"the modem asks for the router, which the kernel answers", false, uplink, asks(modem, far, own), ""},
		{"the modem asks for a link-local address", false, uplink, asks(modem, far, near), ""},
		{"a machine of the uplink", false, uplink, answers(modem, x), ""},
		{"a machine of the uplink forms its address", false, uplink, asks(second, none, y), "shelf: asks for duplicates of 2001:db8::51 to " + ""},
		{"a machine of the uplink wants the address of a board", true, uplink, asks(second, none, x), "shelf: asks for duplicates of 2001:db8::50 to group"},
		{"a board forms its address again on the uplink", true, uplink, asks(board, none, x), "del 2001:db8::50; shelf: has 2001:db8::50 now to all; shelf: asks for duplicates of 2001:db8::50 to group"},
		{"a board answers on the uplink", true, uplink, answers(board, x), "del 2001:db8::50; shelf: has 2001:db8::50 now to all"},
		{"a board asks on the uplink", true, uplink, asks(board, x, far), "del 2001:db8::50; shelf: has 2001:db8::50 now to all"},
	} {
		tab := New()
		if c.known {
			check(t, c.name, tab.Receive(shelf, answers(board, x), at(0)), learnt)
		}
		check(t, c.name, tab.Receive(c.side, c.nd, at(time.Second)), c.want)
	}
	check(t, "no network yet", New().Receive(shelf, answers(board, x), Facts{Now: start}), "")
	// Without an address to ask from nothing is asked.
	f := at(0)
	f.Local = [2]netip.Addr{}
	check(t, "no link-local address", New().Receive(uplink, asks(modem, far, x), f), "")
	check(t, "no link-local address", New().Receive(shelf, answers(board, x), f), "add 2001:db8::50")
}

// Answers are brought over to those who asked, as long as they wait, and to nobody twice.
func TestAnswers(t *testing.T) {
	const toModem = "uplink: has 2001:db8::50 to modem"
	for _, c := range []struct {
		name  string
		side  neighbour.Side
		ask   frame.ND
		after time.Duration
		nd    frame.ND
		want  string
	}{
		{"the modem finds a silent board", uplink, asks(modem, far, x), time.Millisecond, answers(board, x), toModem + "; " + learnt},
		{"too late", uplink, asks(modem, far, x), 4 * time.Second, answers(board, x), learnt},
		{"of another address", uplink, asks(modem, far, y), time.Millisecond, answers(board, x), learnt},
		{"a board finds a machine of the uplink", shelf, asks(board, near, x), time.Millisecond, answers(modem, x), "shelf: has 2001:db8::50 to board"},
		{"a duplicate on the uplink", shelf, asks(board, none, x), time.Millisecond, answers(modem, x), "shelf: has 2001:db8::50 now to all"},
		{"a duplicate on the shelf", uplink, asks(second, none, x), time.Millisecond, answers(board, x), "uplink: has 2001:db8::50 now to all; " + learnt},
		{"what a machine asked for itself", shelf, asks(board, none, x), time.Millisecond, answers(board, x), ""},
	} {
		tab := New()
		tab.Receive(c.side, c.ask, at(0))
		from := other(c.side)
		check(t, c.name, tab.Receive(from, c.nd, at(c.after)), c.want)
		if again := show(t, tab.Receive(from, c.nd, at(c.after))); strings.Contains(again, "to modem") || strings.Contains(again, "shelf: has") {
			t.Errorf("%s: got %s again", c.name, again)
		}
	}
}

// An address that a board has formed is asked for, so that it is reachable before it sends.
func TestFormed(t *testing.T) {
	tab := New()
	tab.Receive(shelf, asks(board, none, x), at(0))
	check(t, "while it is formed", tab.Tick(at(time.Second)), "")
	check(t, "formed", tab.Tick(at(2*time.Second)), "shelf: asks for 2001:db8::50 to group")
	check(t, "asked once", tab.Tick(at(3*time.Second)), "")
	check(t, "the answer", tab.Receive(shelf, answers(board, x), at(3*time.Second)), learnt)
}

// Boards that do not answer are gone.
func TestTick(t *testing.T) {
	tab := New()
	tab.Receive(shelf, answers(board, x), at(0))
	const ask = "shelf: asks for 2001:db8::50 to board"
	for _, c := range []struct {
		after time.Duration
		want  string
		busy  bool
	}{
		{59 * time.Second, "", false}, {time.Minute, ask, true}, {time.Minute + 100*time.Millisecond, "", true}, {time.Minute + 200*time.Millisecond, ask, true},
		{time.Minute + 400*time.Millisecond, ask, true}, {time.Minute + 600*time.Millisecond, "del 2001:db8::50", false}, {time.Hour, "", false},
	} {
		check(t, c.after.String(), tab.Tick(at(c.after)), c.want)
		if tab.Busy() != c.busy {
			t.Errorf("%v: busy %v, want %v", c.after, tab.Busy(), c.busy)
		}
	}
	// One that answers stays, and one of a network that is over goes.
	tab.Receive(shelf, answers(board, x), at(0))
	tab.Tick(at(time.Minute))
	check(t, "it answers", tab.Receive(shelf, answers(board, x), at(time.Minute)), "")
	check(t, "it answers", tab.Tick(at(time.Minute+time.Second)), "")
	f := at(time.Minute + 2*time.Second)
	f.Networks = nil
	check(t, "another network", tab.Tick(f), "del 2001:db8::50")
}

// What boards, and scans, can have the router remember is limited.
func TestLimits(t *testing.T) {
	tab := New()
	nth := func(n int) netip.Addr {
		a := network.Addr().As16()
		a[13], a[14], a[15] = 1, byte(n>>8), byte(n)
		return netip.AddrFrom16(a)
	}
	for n := range 2 * maxBoards {
		tab.Receive(shelf, answers(board, nth(n)), at(0))
		tab.Receive(uplink, asks(modem, far, nth(n)), at(0))
		tab.Receive(shelf, asks(second, none, nth(n)), at(0))
	}
	if len(tab.boards) != maxEach || len(tab.questions) > maxAsks || len(tab.forming) > maxAsks {
		t.Errorf("got %d addresses, %d questions and %d that are formed, want at most %d, %d and %d", len(tab.boards), len(tab.questions), len(tab.forming), maxEach, maxAsks, maxAsks)
	}
	for n := range 2 * maxBoards {
		tab.Receive(shelf, answers(frame.MAC{2, 1, 0, 0, byte(n >> 8), byte(n)}, nth(n+maxEach)), at(0))
	}
	if len(tab.boards) != maxBoards {
		t.Errorf("got %d addresses, want %d", len(tab.boards), maxBoards)
	}
}

// What was kept is known at once, and asked for.
func TestLoad(t *testing.T) {
	tab := New()
	tab.Receive(shelf, answers(board, x), at(0))
	kept, changed := tab.Save()
	if !changed || len(kept) != 1 {
		t.Fatalf("got %+v, %v", kept, changed)
	}
	if _, changed := tab.Save(); changed {
		t.Error("saved twice")
	}
	tab = New()
	tab.Load(append(kept, Board{IP: netip.MustParseAddr("10.0.0.1")}))
	if got := tab.Boards(); len(got) != 1 || got[0].IP != x || got[0].MAC != board {
		t.Errorf("got %+v", got)
	}
	check(t, "asked at once", tab.Tick(at(0)), "shelf: asks for 2001:db8::50 to board")
}

func FuzzReceive(f *testing.F) {
	for _, n := range []frame.ND{asks(board, x, y), asks(board, none, x), answers(board, x)} {
		f.Add(n.Bytes(), n.Bytes())
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		tab := New()
		tab.Receive(shelf, answers(second, y), at(0))
		for i, data := range [][]byte{a, b, a} {
			if n, ok := frame.ParseND(data); ok {
				show(t, tab.Receive(neighbour.Side(i%2), n, at(time.Duration(i)*time.Second)))
			}
			show(t, tab.Tick(at(time.Duration(i+1)*time.Second)))
		}
		for _, b := range tab.Boards() {
			if !network.Contains(b.IP) || b.IP == own {
				t.Errorf("got the board %v", b.IP)
			}
		}
	})
}
