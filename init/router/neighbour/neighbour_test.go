package neighbour

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"imgbuild/init/router/frame"
)

var (
	board   = frame.MAC{2, 0, 0, 0, 0, 0x10}
	second  = frame.MAC{2, 0, 0, 0, 0, 0x11}
	modem   = frame.MAC{2, 0, 0, 0, 0, 1}
	up      = frame.MAC{2, 0, 0, 0, 0, 2}
	shelf   = frame.MAC{2, 0, 0, 0, 0, 3}
	own     = netip.MustParseAddr("10.0.0.9")
	gateway = netip.MustParseAddr("10.0.0.1")
	x       = netip.MustParseAddr("10.0.0.50")
	y       = netip.MustParseAddr("10.0.0.51")
	zero    = netip.IPv4Unspecified()
	start   = time.Unix(1e9, 0)
)

func at(after time.Duration) Facts {
	return Facts{Now: start.Add(after), Uplink: netip.PrefixFrom(own, 24), Gateway: gateway, UplinkMAC: up, ShelfMAC: shelf}
}

func asks(mac frame.MAC, from, to netip.Addr) frame.ARP {
	return frame.ARP{From: mac, To: frame.Broadcast, Op: frame.Request, SenderMAC: mac, Sender: from, Target: to}
}

func replies(mac frame.MAC, from netip.Addr) frame.ARP {
	return frame.ARP{From: mac, To: shelf, Op: frame.Reply, SenderMAC: mac, Sender: from, TargetMAC: shelf, Target: own}
}

// show is what steps do.
func show(steps []Step) string {
	var words []string
	name := map[frame.MAC]string{board: "board", second: "second", modem: "modem", up: "up", shelf: "shelf", frame.Broadcast: "all"}
	for _, s := range steps {
		switch s.Kind {
		case AddRoute:
			words = append(words, "add "+s.Board.IP.String())
		case DelRoute:
			words = append(words, "del "+s.Board.IP.String())
		case Send:
			op := map[uint16]string{frame.Request: "asks", frame.Reply: "replies"}[s.ARP.Op]
			words = append(words, fmt.Sprintf("%s: %s/%s %s %s to %s", [...]string{"shelf", "uplink"}[s.Side], s.ARP.Sender, name[s.ARP.SenderMAC], op, s.ARP.Target, name[s.ARP.To]))
		}
	}
	return strings.Join(words, "; ")
}

func check(t *testing.T, what string, steps []Step, want string) {
	t.Helper()
	if got := show(steps); got != want {
		t.Errorf("%s:\ngot  %s\nwant %s", what, got, want)
	}
}

const learnt = "add 10.0.0.50; uplink: 10.0.0.50/up asks 10.0.0.50 to all"

// One event each, on a table that knows nothing, or X at the time 0.
func TestReceive(t *testing.T) {
	for _, c := range []struct {
		name  string
		known bool
		after time.Duration
		side  Side
		arp   frame.ARP
		want  string
	}{
		{"a board asks for the gateway", false, 0, Shelf, asks(board, x, gateway), learnt},
		{"a board announces itself", false, 0, Shelf, asks(board, x, x), learnt},
		{"a board answers", false, 0, Shelf, replies(board, x), learnt},
		{"a board asks for another machine, which may be a silent board", false, 0, Shelf, asks(board, x, y), learnt + "; shelf: 10.0.0.9/shelf asks 10.0.0.51 to all"},
		{"a known board", true, time.Hour, Shelf, asks(board, x, gateway), ""},
		{"another board has the address now", true, time.Second, Shelf, asks(second, x, x), ""},
		{"an address of another network", false, 0, Shelf, asks(board, netip.MustParseAddr("10.9.9.9"), x), ""},
		{"the network's address", false, 0, Shelf, asks(board, netip.MustParseAddr("10.0.0.0"), x), ""},
		{"the broadcast address", false, 0, Shelf, asks(board, netip.MustParseAddr("10.0.0.255"), x), ""},
		{"the router's address", false, 0, Shelf, asks(board, own, x), ""},
		{"the gateway's address", false, 0, Shelf, asks(board, gateway, x), ""},
		{"a frame of the router", false, 0, Shelf, asks(shelf, own, x), ""},
		{"a group as the sender", false, 0, Shelf, asks(frame.Broadcast, x, x), ""},
		{"another operation", false, 0, Shelf, frame.ARP{From: board, Op: 3, SenderMAC: board, Sender: x, Target: x}, ""},

		{"the modem asks for somebody unknown", false, 0, Uplink, asks(modem, gateway, x), "shelf: 10.0.0.9/shelf asks 10.0.0.50 to all"},
		{"the modem asks for a board that was just seen", true, 500 * time.Millisecond, Uplink, asks(modem, gateway, x), ""},
		{"the modem asks for a board", true, 2 * time.Second, Uplink, asks(modem, gateway, x), "shelf: 10.0.0.9/shelf asks 10.0.0.50 to board"},
		{"the modem asks for the router", false, 0, Uplink, asks(modem, gateway, own), ""},
		{"a machine of the uplink announces itself", false, 0, Uplink, asks(second, x, x), ""},
		{"a board was moved to the uplink", true, time.Second, Uplink, asks(board, x, x), "del 10.0.0.50; shelf: 10.0.0.50/shelf asks 10.0.0.50 to all"},
		{"an access point repeats a frame of the router", true, time.Second, Uplink, asks(up, x, x), ""},

		{"a probe on the shelf", false, 0, Shelf, asks(board, zero, x), "uplink: 0.0.0.0/up asks 10.0.0.50 to all"},
		{"a probe on the uplink", false, 0, Uplink, asks(modem, zero, x), "shelf: 0.0.0.0/shelf asks 10.0.0.50 to all"},
		{"a probe for the router's address", false, 0, Shelf, asks(board, zero, own), ""},
	} {
		tab := New()
		if c.known {
			check(t, c.name, tab.Receive(Shelf, asks(board, x, x), at(0)), learnt)
		}
		check(t, c.name, tab.Receive(c.side, c.arp, at(c.after)), c.want)
	}
	check(t, "no address yet", New().Receive(Shelf, asks(board, x, x), Facts{Now: start, UplinkMAC: up, ShelfMAC: shelf}), "")
}

// A question for an address that nobody has is asked again at most once a second.
func TestAsksOnceASecond(t *testing.T) {
	tab := New()
	const q = "shelf: 10.0.0.9/shelf asks 10.0.0.50 to all"
	for _, c := range []struct {
		after time.Duration
		want  string
	}{{0, q}, {900 * time.Millisecond, ""}, {time.Second, q}, {1100 * time.Millisecond, ""}} {
		check(t, c.after.String(), tab.Receive(Uplink, asks(modem, gateway, x), at(c.after)), c.want)
	}
	n := 0
	for i := range 1000 { // a scan
		a := netip.AddrFrom4([4]byte{10, 0, 0, byte(2 + i%250)})
		n += len(tab.Receive(Uplink, asks(modem, gateway, a), at(1200*time.Millisecond)))
	}
	if n > 250 || len(tab.asks) > maxAsks {
		t.Errorf("got %d questions, %d noted", n, len(tab.asks))
	}
}

// A board that left silently is found out within 1 s of the modem's question, and where it is now
// is announced on both sides.
func TestSilentMove(t *testing.T) {
	tab := New()
	tab.Receive(Shelf, asks(board, x, x), at(0))
	check(t, "question", tab.Receive(Uplink, asks(modem, gateway, x), at(10*time.Second)), "shelf: 10.0.0.9/shelf asks 10.0.0.50 to board")
	var last []Step
	after := 10 * time.Second
	for ; len(tab.Boards()) == 1 && after < 12*time.Second; after += 200 * time.Millisecond {
		if !tab.Busy() {
			t.Error("it is not waiting for an answer")
		}
		last = tab.Tick(at(after))
	}
	check(t, "gone", last, "del 10.0.0.50; uplink: 10.0.0.9/up asks 10.0.0.50 to all")
	if after > 11*time.Second {
		t.Errorf("it took %v", after-10*time.Second)
	}
	check(t, "found", tab.Receive(Uplink, frame.ARP{From: board, To: up, Op: frame.Reply, SenderMAC: board, Sender: x, TargetMAC: up, Target: own}, at(after)),
		"shelf: 10.0.0.50/shelf asks 10.0.0.50 to all; uplink: 10.0.0.50/board asks 10.0.0.50 to all")
	// The other way round it is learnt by its answer to the modem's question.
	check(t, "question for the one that came back", tab.Receive(Uplink, asks(modem, gateway, x), at(20*time.Second)), "shelf: 10.0.0.9/shelf asks 10.0.0.50 to all")
	check(t, "back", tab.Receive(Shelf, replies(board, x), at(20*time.Second)), learnt)
}

// A board that answers stays; one with an address of its own is asked every minute, one with a
// lease is not.
func TestTick(t *testing.T) {
	tab := New()
	tab.Receive(Shelf, asks(board, x, x), at(0))
	tab.Bound(y, second, start.Add(time.Hour), at(0))
	check(t, "fresh", tab.Tick(at(59*time.Second)), "")
	check(t, "old", tab.Tick(at(time.Minute)), "shelf: 10.0.0.9/shelf asks 10.0.0.50 to board")
	check(t, "too soon", tab.Tick(at(time.Minute+100*time.Millisecond)), "")
	check(t, "again", tab.Tick(at(time.Minute+200*time.Millisecond)), "shelf: 10.0.0.9/shelf asks 10.0.0.50 to board")
	tab.Receive(Shelf, replies(board, x), at(time.Minute+300*time.Millisecond))
	check(t, "it is there", tab.Tick(at(time.Minute+400*time.Millisecond)), "")
	if got := len(tab.Boards()); got != 2 || tab.Busy() {
		t.Errorf("got %d boards, busy %v", got, tab.Busy())
	}
	f := at(2 * time.Minute)
	f.Uplink = netip.MustParsePrefix("172.16.0.9/16")
	check(t, "another subnet", tab.Tick(f), "del 10.0.0.50; del 10.0.0.51")
}

// A lease has its route, and the uplink knows of it, before the board hears of its address; its end
// takes only its own away.
func TestLease(t *testing.T) {
	tab := New()
	until := start.Add(time.Hour)
	check(t, "bound", tab.Bound(x, board, until, at(0)), learnt)
	tab.Save()
	check(t, "again", tab.Bound(x, board, until, at(time.Second)), learnt)
	if _, changed := tab.Save(); changed {
		t.Error("the same lease is to be kept again")
	}
	check(t, "end of somebody else's", tab.Left(x, second), "")
	check(t, "end", tab.Left(x, board), "del 10.0.0.50")
	check(t, "end of nothing", tab.Left(x, board), "")
	check(t, "an address elsewhere", tab.Bound(netip.MustParseAddr("8.8.8.8"), board, until, at(0)), "")
}

// The answer to a probe is brought to the one who probes, on its side.
func TestProbe(t *testing.T) {
	tab := New()
	tab.Receive(Shelf, asks(board, zero, x), at(0))
	check(t, "a machine of the uplink has it", tab.Receive(Uplink, frame.ARP{From: second, To: up, Op: frame.Reply, SenderMAC: second, Sender: x, TargetMAC: up, Target: zero}, at(time.Second)),
		"shelf: 10.0.0.50/shelf replies 0.0.0.0 to board")
	tab.Receive(Uplink, asks(modem, zero, y), at(2*time.Second))
	check(t, "a board has it", tab.Receive(Shelf, replies(second, y), at(2*time.Second)),
		"uplink: 10.0.0.51/up replies 0.0.0.0 to modem; add 10.0.0.51; uplink: 10.0.0.51/up asks 10.0.0.51 to all")
	tab.Receive(Shelf, asks(board, zero, x), at(10*time.Second))
	check(t, "too late", tab.Receive(Uplink, frame.ARP{From: second, To: up, Op: frame.Reply, SenderMAC: second, Sender: x}, at(14*time.Second)), "")
}

// What was kept is known at once, and boards without a lease are asked.
func TestLoad(t *testing.T) {
	first := New()
	first.Receive(Shelf, asks(board, x, x), at(0))
	first.Bound(y, second, start.Add(time.Hour), at(0))
	kept, changed := first.Save()
	if !changed || len(kept) != 2 {
		t.Fatalf("got %v, %v", kept, changed)
	}
	tab := New()
	tab.Load(kept)
	if b := tab.Boards(); len(b) != 2 || b[0].IP != x || b[0].MAC != board || !b[1].Until.Equal(start.Add(time.Hour)) {
		t.Errorf("got %+v", b)
	}
	check(t, "asked", tab.Tick(at(time.Second)), "shelf: 10.0.0.9/shelf asks 10.0.0.50 to board")
}

// A cable between both sides is found out, and nothing is learnt while it is there.
func TestLoop(t *testing.T) {
	tab := New()
	tab.Receive(Shelf, asks(up, own, gateway), at(0))
	if !tab.Looped(at(time.Second).Now) || tab.Looped(at(time.Minute).Now) {
		t.Error("the loop is not noticed, or for ever")
	}
	check(t, "a machine of the uplink on the shelf", tab.Receive(Shelf, asks(second, x, x), at(time.Second)), "")
	check(t, "later", tab.Receive(Shelf, asks(board, x, x), at(time.Minute)), learnt)
	tab.Receive(Shelf, asks(board, gateway, gateway), at(time.Minute))
	if taken, ok := tab.Taken(at(time.Minute).Now); !ok || taken.IP != gateway || taken.MAC != board {
		t.Errorf("got %+v, %v", taken, ok)
	}
}

// Whatever comes, the table stays small and no address but those of boards gets a route.
func FuzzReceive(f *testing.F) {
	f.Add(asks(board, x, gateway).Bytes(), true, uint16(0))
	f.Add(replies(second, y).Bytes(), false, uint16(100))
	f.Fuzz(func(t *testing.T, b []byte, side bool, after uint16) {
		a, ok := frame.ParseARP(b)
		if !ok {
			return
		}
		tab := New()
		tab.Receive(Shelf, asks(board, x, x), at(0))
		s := Shelf
		if side {
			s = Uplink
		}
		fs := at(time.Duration(after) * 10 * time.Millisecond)
		for _, st := range append(tab.Receive(s, a, fs), tab.Tick(fs)...) {
			if st.Kind == AddRoute && !fs.host(st.Board.IP) {
				t.Errorf("a route to %s", st.Board.IP)
			}
		}
		if len(tab.Boards()) > 2 {
			t.Errorf("got %+v", tab.Boards())
		}
	})
}
