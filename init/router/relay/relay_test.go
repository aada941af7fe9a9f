package relay

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"imgbuild/init/router/frame"
)

var (
	board  = frame.MAC{2, 0, 0, 0, 0, 0x10}
	other  = frame.MAC{2, 0, 0, 0, 0, 0x11}
	modem  = frame.MAC{2, 0, 0, 0, 0, 1}
	uplink = frame.MAC{2, 0, 0, 0, 0, 2}
	shelf  = frame.MAC{2, 0, 0, 0, 0, 3}
	server = netip.MustParseAddr("192.168.77.1")
	own    = netip.MustParseAddr("192.168.77.9")
	ip     = netip.MustParseAddr("192.168.77.50")
	start  = time.Unix(1e9, 0)
)

func facts(after time.Duration) Facts {
	return Facts{Now: start.Add(after), Uplink: netip.PrefixFrom(own, 24), Up: true, Gateway: server, UplinkMAC: uplink, ShelfMAC: shelf}
}

func option(o dhcpv4.Option) dhcpv4.Modifier { return dhcpv4.WithOption(o) }

// message makes a message as bytes.
func msg(t *testing.T, kind dhcpv4.MessageType, mac frame.MAC, xid byte, more ...dhcpv4.Modifier) []byte {
	t.Helper()
	p, err := dhcpv4.New(append([]dhcpv4.Modifier{
		dhcpv4.WithMessageType(kind), dhcpv4.WithHwAddr(net.HardwareAddr(mac[:])), dhcpv4.WithTransactionID(dhcpv4.TransactionID{0, 0, 0, xid}),
	}, more...)...)
	if err != nil {
		t.Fatal(err)
	}
	if slices.Contains([]dhcpv4.MessageType{dhcpv4.MessageTypeOffer, dhcpv4.MessageTypeAck, dhcpv4.MessageTypeNak}, kind) {
		p.OpCode = dhcpv4.OpcodeBootReply
	}
	return p.ToBytes()
}

// asks is a message of a board to everybody, or to a server.
func asks(data []byte, to netip.Addr, from netip.Addr) frame.Datagram {
	d := frame.Datagram{From: board, To: frame.Broadcast, Src: netip.AddrPortFrom(from, 68), Dst: netip.AddrPortFrom(to, 67), Data: data}
	if to != everybody {
		d.To = shelf
	}
	return d
}

// answers is a message of the modem to the router, or to everybody.
func answers(data []byte, to netip.Addr) frame.Datagram {
	d := frame.Datagram{From: modem, To: uplink, Src: netip.AddrPortFrom(server, 67), Dst: netip.AddrPortFrom(to, 67), Data: data}
	if to != own {
		d.To, d.Dst = frame.Broadcast, netip.AddrPortFrom(to, 68)
	}
	return d
}

// show is what steps do, one word each.
func show(t *testing.T, steps []Step) string {
	t.Helper()
	var words []string
	for _, s := range steps {
		switch s.Kind {
		case Bound, Left:
			words = append(words, fmt.Sprintf("%s %s/%s", map[Kind]string{Bound: "bound", Left: "left"}[s.Kind], s.Lease.IP, s.Lease.MAC))
			continue
		}
		p, err := dhcpv4.FromBytes(s.Datagram.Data)
		if err != nil {
			t.Fatal(err)
		}
		flag := ""
		if p.IsBroadcast() {
			flag = " flag"
		}
		words = append(words, fmt.Sprintf("%s %s %s>%s giaddr=%s hops=%d%s", map[Kind]string{ToShelf: "shelf", ToUplink: "uplink", ToServer: "server"}[s.Kind],
			p.MessageType(), s.Datagram.Src, s.Datagram.Dst, p.GatewayIPAddr, p.HopCount, flag))
	}
	return strings.Join(words, "; ")
}

func check(t *testing.T, what string, steps []Step, want string) {
	t.Helper()
	if got := show(t, steps); got != want {
		t.Errorf("%s:\ngot  %s\nwant %s", what, got, want)
	}
}

var (
	serverID = option(dhcpv4.OptServerIdentifier(server.AsSlice()))
	lease    = option(dhcpv4.OptIPAddressLeaseTime(time.Hour))
	wants    = option(dhcpv4.OptRequestedIPAddress(ip.AsSlice()))
	yours    = dhcpv4.WithYourIP(ip.AsSlice())
	via      = dhcpv4.WithGatewayIP(own.AsSlice())
	has      = dhcpv4.WithClientIP(ip.AsSlice())
	nobody   = netip.IPv4Unspecified()
)

// bind takes a board through the exchange with giaddr.
func bind(t *testing.T, r *Relay) {
	t.Helper()
	check(t, "DISCOVER", r.FromShelf(asks(msg(t, dhcpv4.MessageTypeDiscover, board, 1), everybody, nobody), facts(0)),
		"uplink DISCOVER 192.168.77.9:67>255.255.255.255:67 giaddr=192.168.77.9 hops=1")
	check(t, "OFFER", r.FromUplink(answers(msg(t, dhcpv4.MessageTypeOffer, board, 1, yours, serverID, via), own), facts(time.Second)),
		"shelf OFFER 192.168.77.1:67>255.255.255.255:68 giaddr=0.0.0.0 hops=0")
	check(t, "REQUEST", r.FromShelf(asks(msg(t, dhcpv4.MessageTypeRequest, board, 1, wants, serverID, option(dhcpv4.OptHostName("node1"))), everybody, nobody), facts(2*time.Second)),
		"uplink REQUEST 192.168.77.9:67>255.255.255.255:67 giaddr=192.168.77.9 hops=1")
	check(t, "ACK", r.FromUplink(answers(msg(t, dhcpv4.MessageTypeAck, board, 1, yours, serverID, lease, via), own), facts(3*time.Second)),
		"bound 192.168.77.50/02:00:00:00:00:10; shelf ACK 192.168.77.1:67>255.255.255.255:68 giaddr=0.0.0.0 hops=0")
}

// The exchange that every correct server passes: the route is there before the client's ACK.
func TestGiaddr(t *testing.T) {
	r := New()
	bind(t, r)
	if l := r.Leases(); len(l) != 1 || l[0].IP != ip || l[0].Name != "node1" || !l[0].Until.Equal(start.Add(time.Hour+3*time.Second)) || l[0].Server != server {
		t.Errorf("got %+v", l)
	}
	if f := r.Forms()[server]; f != Giaddr {
		t.Errorf("form: got %v, want %v", f, Giaddr)
	}
}

// A server that ignores relayed requests answers the second one, and is asked that way from then
// on.
func TestBroadcast(t *testing.T) {
	r := New()
	discover := func() frame.Datagram { return asks(msg(t, dhcpv4.MessageTypeDiscover, board, 1), everybody, nobody) }
	r.FromShelf(discover(), facts(0))
	check(t, "second DISCOVER", r.FromShelf(discover(), facts(4*time.Second)), "uplink DISCOVER 0.0.0.0:68>255.255.255.255:67 giaddr=0.0.0.0 hops=1 flag")
	check(t, "third", r.FromShelf(discover(), facts(8*time.Second)), "uplink DISCOVER 192.168.77.9:67>255.255.255.255:67 giaddr=192.168.77.9 hops=1")
	// The client has not set the flag; it gets its own back.
	check(t, "OFFER", r.FromUplink(answers(msg(t, dhcpv4.MessageTypeOffer, board, 1, yours, serverID, dhcpv4.WithBroadcast(true)), everybody), facts(9*time.Second)),
		"shelf OFFER 192.168.77.1:67>255.255.255.255:68 giaddr=0.0.0.0 hops=0")
	request := func() frame.Datagram {
		return asks(msg(t, dhcpv4.MessageTypeRequest, board, 1, wants, serverID), everybody, nobody)
	}
	check(t, "REQUEST", r.FromShelf(request(), facts(10*time.Second)), "uplink REQUEST 192.168.77.9:67>255.255.255.255:67 giaddr=192.168.77.9 hops=1")
	check(t, "second REQUEST", r.FromShelf(request(), facts(10*time.Second)),
		"uplink REQUEST 0.0.0.0:68>255.255.255.255:67 giaddr=0.0.0.0 hops=1 flag")
	check(t, "ACK", r.FromUplink(answers(msg(t, dhcpv4.MessageTypeAck, board, 1, yours, serverID, lease, dhcpv4.WithBroadcast(true)), everybody), facts(11*time.Second)),
		"bound 192.168.77.50/02:00:00:00:00:10; shelf ACK 192.168.77.1:67>255.255.255.255:68 giaddr=0.0.0.0 hops=0")
	// A renewal goes to everybody as well: its answer comes through the ARP proxy.
	check(t, "renewal", r.FromShelf(asks(msg(t, dhcpv4.MessageTypeRequest, board, 2, has), server, ip), facts(time.Minute)),
		"uplink REQUEST 192.168.77.50:68>255.255.255.255:67 giaddr=0.0.0.0 hops=1 flag")
	// Another board is asked for in that form from the beginning, also after a restart.
	saved, changed := r.Save()
	if !changed {
		t.Error("nothing is to be kept")
	}
	again := New()
	again.Load(saved)
	for name, r := range map[string]*Relay{"known": r, "restarted": again} {
		d := asks(msg(t, dhcpv4.MessageTypeDiscover, other, 3), everybody, nobody)
		d.From = other
		check(t, name, r.FromShelf(d, facts(2*time.Minute)), "uplink DISCOVER 0.0.0.0:68>255.255.255.255:67 giaddr=0.0.0.0 hops=1 flag")
	}
}

// What a board sends to its server goes to that server.
func TestUnicast(t *testing.T) {
	r := New()
	bind(t, r)
	check(t, "renewal", r.FromShelf(asks(msg(t, dhcpv4.MessageTypeRequest, board, 2, has), server, ip), facts(time.Minute)),
		"server REQUEST 192.168.77.9:67>192.168.77.1:67 giaddr=192.168.77.9 hops=1")
	check(t, "its answer", r.FromUplink(answers(msg(t, dhcpv4.MessageTypeAck, board, 2, yours, serverID, lease, via, has), own), facts(time.Minute)),
		"bound 192.168.77.50/02:00:00:00:00:10; shelf ACK 192.168.77.1:67>255.255.255.255:68 giaddr=0.0.0.0 hops=0")
	if l := r.Leases(); !l[0].Until.Equal(start.Add(time.Hour + time.Minute)) {
		t.Errorf("the lease ends at %v", l[0].Until)
	}
	check(t, "RELEASE", r.FromShelf(asks(msg(t, dhcpv4.MessageTypeRelease, board, 3, has, serverID), server, ip), facts(2*time.Minute)),
		"left 192.168.77.50/02:00:00:00:00:10; server RELEASE 192.168.77.9:67>192.168.77.1:67 giaddr=192.168.77.9 hops=1")
	check(t, "what is for the router", r.FromShelf(asks(msg(t, dhcpv4.MessageTypeRequest, board, 4, has), own, ip), facts(2*time.Minute)), "")
}

// The end of a lease takes the route away, in each of its ways.
func TestLeft(t *testing.T) {
	const left = "left 192.168.77.50/02:00:00:00:00:10"
	for _, c := range []struct {
		name string
		do   func(r *Relay) []Step
		want string
	}{
		{"DECLINE", func(r *Relay) []Step {
			return r.FromShelf(asks(msg(t, dhcpv4.MessageTypeDecline, board, 2, wants, serverID), everybody, nobody), facts(time.Minute))
		}, left + "; uplink DECLINE 192.168.77.9:67>255.255.255.255:67 giaddr=192.168.77.9 hops=1"},
		{"DECLINE of another address", func(r *Relay) []Step {
			return r.FromShelf(asks(msg(t, dhcpv4.MessageTypeDecline, board, 2, option(dhcpv4.OptRequestedIPAddress(own.Next().AsSlice())), serverID), everybody, nobody), facts(time.Minute))
		}, "uplink DECLINE 192.168.77.9:67>255.255.255.255:67 giaddr=192.168.77.9 hops=1"},
		{"RELEASE by another board", func(r *Relay) []Step {
			return r.FromShelf(asks(msg(t, dhcpv4.MessageTypeRelease, other, 2, has, serverID), server, ip), facts(time.Minute))
		}, "server RELEASE 192.168.77.9:67>192.168.77.1:67 giaddr=192.168.77.9 hops=1"},
		{"expiry", func(r *Relay) []Step { return r.Tick(facts(time.Hour + 4*time.Second)) }, left},
		{"not yet", func(r *Relay) []Step { return r.Tick(facts(time.Hour + 2*time.Second)) }, ""},
		{"expiry without uplink", func(r *Relay) []Step {
			f := facts(2 * time.Hour)
			f.Up = false
			return r.Tick(f)
		}, ""},
		{"NAK", func(r *Relay) []Step {
			r.FromShelf(asks(msg(t, dhcpv4.MessageTypeRequest, board, 2, wants), everybody, nobody), facts(time.Minute))
			return r.FromUplink(answers(msg(t, dhcpv4.MessageTypeNak, board, 2, serverID, via), own), facts(time.Minute))
		}, left + "; shelf NAK 192.168.77.1:67>255.255.255.255:68 giaddr=0.0.0.0 hops=0"},
		{"another address", func(r *Relay) []Step {
			r.FromShelf(asks(msg(t, dhcpv4.MessageTypeRequest, board, 2), everybody, nobody), facts(time.Minute))
			return r.FromUplink(answers(msg(t, dhcpv4.MessageTypeAck, board, 2, dhcpv4.WithYourIP(ip.Next().AsSlice()), serverID, lease, via), own), facts(time.Minute))
		}, left + "; bound 192.168.77.51/02:00:00:00:00:10; shelf ACK 192.168.77.1:67>255.255.255.255:68 giaddr=0.0.0.0 hops=0"},
	} {
		r := New()
		bind(t, r)
		check(t, c.name, c.do(r), c.want)
	}
}

// Nothing that is not for a board is brought to the shelf, and nothing of the router's own goes up.
func TestIgnored(t *testing.T) {
	offer := func(more ...dhcpv4.Modifier) []byte {
		return msg(t, dhcpv4.MessageTypeOffer, board, 1, append([]dhcpv4.Modifier{yours, serverID, via}, more...)...)
	}
	ack := func(a netip.Addr) []byte {
		return msg(t, dhcpv4.MessageTypeAck, board, 1, dhcpv4.WithYourIP(a.AsSlice()), serverID, lease, via)
	}
	transit := answers(offer(), own)
	transit.Dst = netip.AddrPortFrom(ip, 68)
	elsewhere := answers(offer(), own)
	elsewhere.Src = netip.AddrPortFrom(server, 1067)
	for name, d := range map[string]frame.Datagram{
		"on its way through": transit, "from another port": elsewhere,
		"another client":           answers(msg(t, dhcpv4.MessageTypeOffer, other, 1, yours, serverID), everybody),
		"another exchange":         answers(msg(t, dhcpv4.MessageTypeOffer, board, 9, yours, serverID), everybody),
		"the router's own":         answers(msg(t, dhcpv4.MessageTypeOffer, uplink, 1, yours, serverID, via), own),
		"the router's address":     answers(ack(own), own),
		"the gateway's":            answers(ack(server), own),
		"an address elsewhere":     answers(ack(netip.MustParseAddr("8.8.8.8")), own),
		"cut":                      answers(offer()[:200], own),
		"a request from the modem": answers(msg(t, dhcpv4.MessageTypeDiscover, board, 1), everybody),
	} {
		r := New()
		r.FromShelf(asks(msg(t, dhcpv4.MessageTypeDiscover, board, 1), everybody, nobody), facts(0))
		check(t, name, r.FromUplink(d, facts(time.Second)), "")
	}
	mine := asks(msg(t, dhcpv4.MessageTypeDiscover, board, 1), everybody, nobody)
	mine.From = shelf
	hops := msg(t, dhcpv4.MessageTypeDiscover, board, 1)
	hops[offHops] = maxHops
	for name, d := range map[string]frame.Datagram{
		"a frame of the router": mine,
		"the router's client":   asks(msg(t, dhcpv4.MessageTypeDiscover, shelf, 1), everybody, nobody),
		"another relay's":       asks(msg(t, dhcpv4.MessageTypeDiscover, board, 1, via), everybody, nobody),
		"too many hops":         asks(hops, everybody, nobody),
		"cut":                   asks(msg(t, dhcpv4.MessageTypeDiscover, board, 1)[:100], everybody, nobody),
	} {
		check(t, name, New().FromShelf(d, facts(0)), "")
	}
	f := facts(0)
	f.Uplink = netip.Prefix{}
	check(t, "no address yet", New().FromShelf(asks(msg(t, dhcpv4.MessageTypeDiscover, board, 1), everybody, nobody), f), "")
}

// A relay that was started again knows nothing of the exchange, and brings down what is for it.
func TestRestarted(t *testing.T) {
	check(t, "ACK", New().FromUplink(answers(msg(t, dhcpv4.MessageTypeAck, board, 1, yours, serverID, lease, via), own), facts(0)),
		"bound 192.168.77.50/02:00:00:00:00:10; shelf ACK 192.168.77.1:67>255.255.255.255:68 giaddr=0.0.0.0 hops=0")
}

// Without uplink the router confirms what the server has given before, for five minutes, and gives
// no address that it has not seen.
func TestRemembered(t *testing.T) {
	away := func(after time.Duration) Facts {
		f := facts(after)
		f.Up, f.Uplink = false, netip.Prefix{}
		return f
	}
	first := New()
	bind(t, first)
	saved, _ := first.Save()
	r := New()
	r.Load(saved)
	const confirmed = "bound 192.168.77.50/02:00:00:00:00:10; shelf ACK 192.168.77.1:67>255.255.255.255:68 giaddr=0.0.0.0 hops=0"
	renewal := asks(msg(t, dhcpv4.MessageTypeRequest, board, 7, has), server, ip)
	steps := r.FromShelf(renewal, away(2*time.Hour))
	check(t, "renewal", steps, confirmed)
	p, err := dhcpv4.FromBytes(steps[1].Datagram.Data)
	if err != nil || p.IPAddressLeaseTime(0) != shortLease || !p.YourIPAddr.Equal(ip.AsSlice()) || p.TransactionID != (dhcpv4.TransactionID{0, 0, 0, 7}) || !p.ServerIdentifier().Equal(server.AsSlice()) {
		t.Errorf("got %v, %v", p, err)
	}
	check(t, "DISCOVER", r.FromShelf(asks(msg(t, dhcpv4.MessageTypeDiscover, board, 8), everybody, nobody), away(2*time.Hour)), "shelf OFFER 192.168.77.1:67>255.255.255.255:68 giaddr=0.0.0.0 hops=0")
	check(t, "REQUEST", r.FromShelf(asks(msg(t, dhcpv4.MessageTypeRequest, board, 8, wants, serverID), everybody, nobody), away(2*time.Hour)), confirmed)
	for name, data := range map[string][]byte{
		"another board":       msg(t, dhcpv4.MessageTypeDiscover, other, 9),
		"another address":     msg(t, dhcpv4.MessageTypeRequest, board, 9, option(dhcpv4.OptRequestedIPAddress(own.AsSlice()))),
		"of another server":   msg(t, dhcpv4.MessageTypeRequest, board, 9, wants, option(dhcpv4.OptServerIdentifier(own.AsSlice()))),
		"a release":           msg(t, dhcpv4.MessageTypeRelease, board, 9, has),
		"a question for more": msg(t, dhcpv4.MessageTypeInform, board, 9, has),
	} {
		check(t, name, r.FromShelf(asks(data, everybody, nobody), away(2*time.Hour)), "")
	}
	// A server on the shelf has precedence.
	rogue := frame.Datagram{From: other, To: frame.Broadcast, Src: netip.AddrPortFrom(own.Next(), 67), Dst: netip.AddrPortFrom(everybody, 68), Data: msg(t, dhcpv4.MessageTypeOffer, board, 1, yours)}
	check(t, "a server on the shelf", r.FromShelf(rogue, away(2*time.Hour)), "")
	check(t, "renewal with a server on the shelf", r.FromShelf(renewal, away(2*time.Hour+time.Second)), "")
	if g := r.Rogues(); len(g) != 1 || g[0].MAC != other || g[0].IP != own.Next() {
		t.Errorf("got %+v", g)
	}
	// When the uplink is back, the modem is asked.
	check(t, "back", r.FromShelf(renewal, facts(2*time.Hour+3*time.Minute)), "server REQUEST 192.168.77.9:67>192.168.77.1:67 giaddr=192.168.77.9 hops=1")
}

// A modem that answers neither form is reported, and one that answers is not.
func TestDeaf(t *testing.T) {
	r := New()
	for i := range 4 {
		if d := r.Deaf(facts(time.Duration(i) * 5 * time.Second)); len(d) != 0 {
			t.Errorf("after %d requests: got %v", i, d)
		}
		r.FromShelf(asks(msg(t, dhcpv4.MessageTypeDiscover, board, byte(i)), everybody, nobody), facts(time.Duration(i)*5*time.Second))
	}
	if d := r.Deaf(facts(16 * time.Second)); len(d) != 1 || d[0] != board {
		t.Errorf("got %v, want %v", d, board)
	}
	r.FromUplink(answers(msg(t, dhcpv4.MessageTypeOffer, board, 3, yours, serverID, via), own), facts(17*time.Second))
	if d := r.Deaf(facts(17 * time.Second)); len(d) != 0 {
		t.Errorf("after an answer: got %v", d)
	}
}

// A flood of clients that do not exist takes no memory without end.
func TestFlood(t *testing.T) {
	r := New()
	for i := range 5000 {
		mac := frame.MAC{6, 0, 0, 0, byte(i >> 8), byte(i)}
		d := asks(msg(t, dhcpv4.MessageTypeDiscover, mac, 1), everybody, nobody)
		d.From = mac
		r.FromShelf(d, facts(0))
		r.FromUplink(answers(msg(t, dhcpv4.MessageTypeAck, mac, 1, dhcpv4.WithYourIP(net.IPv4(192, 168, 77, byte(10+i%200))), serverID, lease, via), own), facts(0))
	}
	if len(r.pending) > maxPending || len(r.waiting) > maxPending || len(r.leases) > maxLeases {
		t.Errorf("got %d, %d, %d", len(r.pending), len(r.waiting), len(r.leases))
	}
	r.Tick(facts(time.Hour))
	if len(r.pending)+len(r.waiting) != 0 {
		t.Errorf("kept: %d, %d", len(r.pending), len(r.waiting))
	}
}

// No message makes it fail, and what goes to the shelf as an address is one of the subnet.
func FuzzMessages(f *testing.F) {
	t := &testing.T{}
	f.Add(msg(t, dhcpv4.MessageTypeDiscover, board, 1), true, true)
	f.Add(msg(t, dhcpv4.MessageTypeAck, board, 1, yours, serverID, lease, via), false, true)
	f.Add(msg(t, dhcpv4.MessageTypeRequest, board, 1, has), true, false)
	f.Fuzz(func(t *testing.T, data []byte, up, online bool) {
		r := New()
		fs := facts(0)
		fs.Up = online
		r.FromShelf(asks(msg(t, dhcpv4.MessageTypeDiscover, board, 1), everybody, nobody), facts(0))
		var steps []Step
		if up {
			steps = r.FromShelf(asks(data, everybody, nobody), fs)
		} else {
			steps = r.FromUplink(answers(data, own), fs)
		}
		for _, s := range steps {
			if s.Kind == Bound && (!fs.Uplink.Contains(s.Lease.IP) || s.Lease.IP == own || s.Lease.IP == server) {
				t.Errorf("bound to %v", s.Lease.IP)
			}
			if s.Kind == ToUplink || s.Kind == ToShelf {
				if d, ok := frame.ParseUDP(s.Datagram.Bytes()); !ok || len(d.Data) != len(s.Datagram.Data) {
					t.Errorf("the frame is not whole")
				}
			}
		}
	})
}

// A server that answers both forms is asked with giaddr, whichever answer came first.
func TestBothForms(t *testing.T) {
	r := New()
	bind(t, r)
	r.FromShelf(asks(msg(t, dhcpv4.MessageTypeRequest, board, 2, wants), everybody, nobody), facts(time.Minute))
	r.FromUplink(answers(msg(t, dhcpv4.MessageTypeAck, board, 2, yours, serverID, lease), everybody), facts(time.Minute))
	if got := r.Forms()[server]; got != Giaddr {
		t.Errorf("got %v, want %v", got, Giaddr)
	}
}
