// Package neighbour decides which addresses of the network are on the shelf, by listening to ARP
// on both sides. It changes no state but its own and sends nothing: its steps are carried out by
// package agent.
//
// An address has a host route to the shelf as soon as a board there was seen with it, and no
// longer than that board is there. Addresses that nobody was seen with never have one: the
// router would answer the modem's question whether such an address is free.
package neighbour

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"imgbuild/init/router/frame"
)

// Side is one of the router's two networks.
type Side uint8

// The sides.
const (
	Shelf Side = iota
	Uplink
)

func (s Side) other() Side { return Uplink - s }

// Facts are what is known when a frame comes.
type Facts struct {
	Now       time.Time
	Uplink    netip.Prefix // the uplink's own address, or the last one it had
	Gateway   netip.Addr
	UplinkMAC frame.MAC
	ShelfMAC  frame.MAC
}

func (f Facts) mac(s Side) frame.MAC {
	if s == Shelf {
		return f.ShelfMAC
	}
	return f.UplinkMAC
}

func (f Facts) ours(m frame.MAC) bool { return m == f.ShelfMAC || m == f.UplinkMAC }

// host reports whether a board may have an address: one of the subnet, and not the router's.
func (f Facts) host(a netip.Addr) bool {
	return f.Uplink.IsValid() && f.Uplink.Masked().Contains(a) && a != f.Uplink.Addr() && a != f.Gateway && a != f.Uplink.Masked().Addr() && a != last(f.Uplink)
}

// last is the broadcast address of a subnet; the zero Addr where there is none.
func last(p netip.Prefix) netip.Addr {
	if !p.Addr().Is4() || p.Bits() > 30 {
		return netip.Addr{}
	}
	b := p.Masked().Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom4(b)
}

// Board is a machine on the shelf.
type Board struct {
	IP    netip.Addr `json:"ip"`
	MAC   frame.MAC  `json:"mac"`
	Since time.Time  `json:"since"`
	Until time.Time  `json:"until,omitzero"` // of its lease; zero for an address of its own

	seen  time.Time
	asked time.Time // last, since it was seen
	tries int       // questions since it was seen
}

// Kind is what a step does.
type Kind uint8

// The kinds of steps.
const (
	AddRoute Kind = iota // to Board over the shelf
	DelRoute
	Send // ARP on Side
)

// Step is one thing to do, in order.
type Step struct {
	Kind  Kind
	Board Board
	Side  Side
	ARP   frame.ARP
}

// Times of the questions that the router asks.
const (
	askAgain = time.Second            // a question for an address that nobody is known with
	idle     = time.Minute            // a board without a lease is asked when it was not seen for so long
	verify   = time.Second            // a board that the other side asks for is asked when it was not seen for so long
	between  = 200 * time.Millisecond // between two questions to one board
	tries    = 3                      // after so many unanswered ones the board is gone
	probeFor = 3 * time.Second        // how long an answer to a probe is brought over
)

// Limits that keep a scan of the network from taking memory and air time.
const (
	maxBoards = 512
	maxAsks   = 256
)

type probe struct {
	side   Side // of the one who probes
	mac    frame.MAC
	target netip.Addr
	at     time.Time
}

// Table is the state. It is for one goroutine.
type Table struct {
	boards  map[netip.Addr]*Board
	asks    map[netip.Addr]time.Time
	gone    map[netip.Addr]time.Time // boards that do not answer any more
	probes  []probe
	loop    time.Time // when a frame of our own came back on the other side
	taken   Taken
	changed bool
}

// Taken is a machine on the shelf that uses the gateway's address or the router's.
type Taken struct {
	IP   netip.Addr
	MAC  frame.MAC
	Last time.Time
}

// New makes an empty one.
func New() *Table {
	return &Table{boards: map[netip.Addr]*Board{}, asks: map[netip.Addr]time.Time{}, gone: map[netip.Addr]time.Time{}}
}

// announce is a gratuitous ARP: it changes an entry that machines have, and makes none.
func announce(s Side, ip netip.Addr, mac frame.MAC, f Facts) Step {
	return Step{Kind: Send, Side: s, ARP: frame.ARP{From: f.mac(s), To: frame.Broadcast, Op: frame.Request, SenderMAC: mac, Sender: ip, Target: ip}}
}

// ask is a question of the router's own for an address; to one machine if it is known.
func ask(s Side, ip netip.Addr, to frame.MAC, f Facts) Step {
	return Step{Kind: Send, Side: s, ARP: frame.ARP{From: f.mac(s), To: to, Op: frame.Request, SenderMAC: f.mac(s), Sender: f.Uplink.Addr(), Target: ip}}
}

// Receive takes an ARP frame that came on a side.
func (t *Table) Receive(s Side, a frame.ARP, f Facts) []Step {
	if !f.Uplink.IsValid() {
		return nil
	}
	if a.From == f.mac(s.other()) && f.ShelfMAC != f.UplinkMAC {
		t.loop = f.Now // a cable joins both sides
		return nil
	}
	if f.ours(a.From) || f.ours(a.SenderMAC) || a.SenderMAC.Multicast() || a.Op != frame.Request && a.Op != frame.Reply || t.Looped(f.Now) {
		return nil
	}
	if a.Sender.IsUnspecified() {
		return t.probed(s, a, f)
	}
	var steps []Step
	if a.Op == frame.Reply {
		steps = t.answered(s, a, f)
	}
	if s == Shelf {
		steps = append(steps, t.shelf(a, f)...)
	} else {
		steps = append(steps, t.uplink(a, f)...)
	}
	return steps
}

// shelf: a machine that sends there with an address has it.
func (t *Table) shelf(a frame.ARP, f Facts) []Step {
	if a.Sender == f.Gateway || a.Sender == f.Uplink.Addr() {
		t.taken = Taken{a.Sender, a.SenderMAC, f.Now}
		return nil
	}
	if !f.host(a.Sender) {
		return nil
	}
	var steps []Step
	b := t.boards[a.Sender]
	if b == nil {
		if len(t.boards) >= maxBoards {
			return nil
		}
		steps = t.add(Board{IP: a.Sender, MAC: a.SenderMAC}, f)
	} else {
		t.changed = t.changed || b.MAC != a.SenderMAC
		b.MAC = a.SenderMAC
		b.seen, b.tries = f.Now, 0
	}
	if a.Op == frame.Request && f.host(a.Target) && a.Target != a.Sender && t.boards[a.Target] == nil {
		// The kernel answers for machines of the uplink. If this one is on the shelf and silent so
		// far, its own answer makes it known.
		steps = append(steps, t.wonder(a.Target, 30*askAgain, f)...)
	}
	return steps
}

func (t *Table) add(b Board, f Facts) []Step {
	b.Since, b.seen = f.Now, f.Now
	t.boards[b.IP] = &b
	t.changed = true
	delete(t.asks, b.IP)
	return []Step{{Kind: AddRoute, Board: b}, announce(Uplink, b.IP, f.UplinkMAC, f)}
}

// wonder asks on the shelf for an address that nobody is known with.
func (t *Table) wonder(ip netip.Addr, again time.Duration, f Facts) []Step {
	if at, asked := t.asks[ip]; asked && f.Now.Sub(at) < again || !asked && len(t.asks) >= maxAsks {
		return nil
	}
	t.asks[ip] = f.Now
	return []Step{ask(Shelf, ip, frame.Broadcast, f)}
}

// uplink: a board that is seen there has moved; one that is asked for there must still be on the
// shelf.
func (t *Table) uplink(a frame.ARP, f Facts) []Step {
	if b := t.boards[a.Sender]; b != nil {
		return append(t.drop(b), announce(Shelf, a.Sender, f.ShelfMAC, f))
	}
	if at, gone := t.gone[a.Sender]; gone && a.Op == frame.Reply && f.Now.Sub(at) <= probeFor {
		delete(t.gone, a.Sender) // the answer to a question of ours: nobody else there has seen it
		return []Step{announce(Shelf, a.Sender, f.ShelfMAC, f), announce(Uplink, a.Sender, a.SenderMAC, f)}
	}
	if a.Op != frame.Request || !f.host(a.Target) || a.Target == a.Sender {
		return nil
	}
	b := t.boards[a.Target]
	switch {
	case b == nil:
		return t.wonder(a.Target, askAgain, f)
	case b.tries == 0 && f.Now.Sub(b.seen) >= verify:
		return t.check(b, f)
	}
	return nil
}

func (t *Table) check(b *Board, f Facts) []Step {
	b.asked, b.tries = f.Now, b.tries+1
	return []Step{ask(Shelf, b.IP, b.MAC, f)}
}

func (t *Table) drop(b *Board) []Step {
	delete(t.boards, b.IP)
	t.changed = true
	return []Step{{Kind: DelRoute, Board: *b}}
}

// probed repeats a probe (RFC 5227) on the other side: the kernel never answers one, and would hide
// a conflict across the sides.
func (t *Table) probed(s Side, a frame.ARP, f Facts) []Step {
	if !f.host(a.Target) || a.Op != frame.Request {
		return nil
	}
	t.probes = slices.DeleteFunc(t.probes, func(p probe) bool {
		return f.Now.Sub(p.at) > probeFor || p.target == a.Target && p.mac == a.SenderMAC
	})
	if len(t.probes) >= maxAsks {
		return nil
	}
	t.probes = append(t.probes, probe{s, a.SenderMAC, a.Target, f.Now})
	o := s.other()
	return []Step{{Kind: Send, Side: o, ARP: frame.ARP{From: f.mac(o), To: frame.Broadcast, Op: frame.Request, SenderMAC: f.mac(o), Sender: netip.IPv4Unspecified(), Target: a.Target}}}
}

// answered brings the answer to a probe over to the one who probes.
func (t *Table) answered(s Side, a frame.ARP, f Facts) []Step {
	var steps []Step
	t.probes = slices.DeleteFunc(t.probes, func(p probe) bool {
		match := p.target == a.Sender && p.side != s && p.mac != a.SenderMAC && f.Now.Sub(p.at) <= probeFor
		if match {
			steps = append(steps, Step{Kind: Send, Side: p.side, ARP: frame.ARP{
				From: f.mac(p.side), To: p.mac, Op: frame.Reply, SenderMAC: f.mac(p.side), Sender: p.target, TargetMAC: p.mac, Target: netip.IPv4Unspecified(),
			}})
		}
		return match
	})
	return steps
}

// Bound takes a lease of a board. The route is there, and the uplink knows of it, before the board
// hears of its address.
func (t *Table) Bound(ip netip.Addr, mac frame.MAC, until time.Time, f Facts) []Step {
	if !f.host(ip) {
		return nil
	}
	b := t.boards[ip]
	if b == nil {
		return t.add(Board{IP: ip, MAC: mac, Until: until}, f)
	}
	t.changed = t.changed || b.MAC != mac || !b.Until.Equal(until)
	b.MAC, b.Until, b.seen, b.tries = mac, until, f.Now, 0
	return []Step{{Kind: AddRoute, Board: *b}, announce(Uplink, ip, f.UplinkMAC, f)}
}

// Left takes the end of a lease.
func (t *Table) Left(ip netip.Addr, mac frame.MAC) []Step {
	if b := t.boards[ip]; b != nil && b.MAC == mac {
		return t.drop(b)
	}
	return nil
}

// Tick asks boards that were not seen for long, and gives up those that do not answer. It is
// called every second, and every 200 ms while Busy.
func (t *Table) Tick(f Facts) []Step {
	for ip, at := range t.asks {
		if f.Now.Sub(at) > 30*askAgain {
			delete(t.asks, ip)
		}
	}
	for ip, at := range t.gone {
		if f.Now.Sub(at) > probeFor {
			delete(t.gone, ip)
		}
	}
	var steps []Step
	for _, b := range t.sorted() {
		switch {
		case f.Uplink.IsValid() && !f.host(b.IP): // another subnet
			steps = append(steps, t.drop(b)...)
		case b.tries > 0 && f.Now.Sub(b.asked) < between:
		case b.tries >= tries:
			steps = append(steps, t.drop(b)...)
			if f.Uplink.IsValid() {
				t.gone[b.IP] = f.Now
				steps = append(steps, ask(Uplink, b.IP, frame.Broadcast, f)) // it may have moved there
			}
		case b.tries > 0, b.Until.IsZero() && f.Now.Sub(b.seen) >= idle:
			if f.Uplink.IsValid() {
				steps = append(steps, t.check(b, f)...)
			}
		}
	}
	return steps
}

// Busy reports whether a board is being asked.
func (t *Table) Busy() bool {
	for _, b := range t.boards {
		if b.tries > 0 {
			return true
		}
	}
	return false
}

func (t *Table) sorted() []*Board {
	return slices.SortedFunc(maps.Values(t.boards), func(a, b *Board) int { return a.IP.Compare(b.IP) })
}

// Boards returns the boards on the shelf, by address.
func (t *Table) Boards() []Board {
	list := []Board{}
	for _, b := range t.sorted() {
		list = append(list, *b)
	}
	return list
}

// Save returns what is to be kept, and whether that has changed since the last call.
func (t *Table) Save() (boards []Board, changed bool) {
	changed = t.changed
	t.changed = false
	return t.Boards(), changed
}

// Load takes what was kept. Boards with an address of their own are asked whether they are still
// there.
func (t *Table) Load(boards []Board) {
	for _, b := range boards {
		if b.IP.Is4() && len(t.boards) < maxBoards {
			b.seen, b.asked, b.tries = time.Time{}, time.Time{}, 0
			t.boards[b.IP] = &b
		}
	}
}

// loopFor is how long after a frame that came back nothing is learnt.
const loopFor = 10 * time.Second

// Looped reports whether a cable joins both sides.
func (t *Table) Looped(now time.Time) bool { return !t.loop.IsZero() && now.Sub(t.loop) < loopFor }

// Taken is a machine of the shelf that used the gateway's or the router's address in the last
// minute.
func (t *Table) Taken(now time.Time) (Taken, bool) {
	return t.taken, !t.taken.Last.IsZero() && now.Sub(t.taken.Last) < time.Minute
}
