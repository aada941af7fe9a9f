// Package ndp decides which addresses of IPv6 are on the shelf, and brings the questions of
// neighbour discovery (RFC 4861) over to the other side, like a proxy of RFC 4389. It changes no
// state but its own and sends nothing: its steps are carried out by package agent.
//
// No question is answered by what is remembered: the machine itself has to answer on its side. So
// a board that moves does not find its own address taken, and a conflict across the sides is found.
package ndp

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"imgbuild/init/router/frame"
	"imgbuild/init/router/neighbour"
)

// Facts are what is known when a frame comes. The arrays are by neighbour.Side.
type Facts struct {
	Now      time.Time
	Networks []netip.Prefix // of the uplink, in which boards have addresses
	Own      []netip.Addr   // this node's addresses
	Local    [2]netip.Addr  // its link-local addresses; zero while there is none
	MAC      [2]frame.MAC
}

// host reports whether a board may have an address.
func (f Facts) host(a netip.Addr) bool {
	return slices.ContainsFunc(f.Networks, func(p netip.Prefix) bool { return p.Contains(a) && a != p.Masked().Addr() }) && !slices.Contains(f.Own, a)
}

func (f Facts) ours(m frame.MAC) bool { return m == f.MAC[0] || m == f.MAC[1] }

// Board is a machine on the shelf, with one of its addresses.
type Board struct {
	IP    netip.Addr `json:"ip"`
	MAC   frame.MAC  `json:"mac"`
	Since time.Time  `json:"since"`

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
	Send // ND on Side
)

// Step is one thing to do, in order.
type Step struct {
	Kind  Kind
	Board Board
	Side  neighbour.Side
	ND    frame.ND
}

// Times of the questions that the router asks.
const (
	idle      = time.Minute            // a board is asked when it was not seen for so long
	between   = 200 * time.Millisecond // between two questions to one board
	tries     = 3                      // after so many unanswered ones the board is gone
	answerFor = 3 * time.Second        // how long an answer is brought over
	formed    = 2 * time.Second        // after its question for duplicates a board has its address
)

// Limits that keep a scan, or one board, from taking memory and air time.
const (
	maxBoards = 1024
	maxEach   = 16 // addresses of one board: temporary ones last a week
	maxAsks   = 256
)

// question is one that was brought over. asker is unspecified for a question for duplicates.
type question struct {
	side   neighbour.Side // of the asker
	asker  netip.Addr
	mac    frame.MAC
	target netip.Addr
	at     time.Time
}

// Table is the state. It is for one goroutine.
type Table struct {
	boards    map[netip.Addr]*Board
	questions []question
	forming   map[netip.Addr]time.Time // addresses that boards asked duplicates for
	changed   bool
}

// New makes an empty one.
func New() *Table {
	return &Table{boards: map[netip.Addr]*Board{}, forming: map[netip.Addr]time.Time{}}
}

func other(s neighbour.Side) neighbour.Side { return neighbour.Uplink - s }

// announce is an unasked answer: it changes an entry that machines have, and makes none.
func announce(s neighbour.Side, ip netip.Addr, f Facts) []Step {
	if !f.Local[s].IsValid() {
		return nil
	}
	return []Step{{Kind: Send, Side: s, ND: frame.ND{
		From: f.MAC[s], To: frame.GroupMAC(frame.AllNodes), Src: f.Local[s], Dst: frame.AllNodes,
		Type: frame.NeighbourAdvert, Target: ip, Link: f.MAC[s], Override: true,
	}}}
}

// ask is a question of the router's own for an address; to one machine if it is known.
func ask(s neighbour.Side, ip netip.Addr, to frame.MAC, f Facts) []Step {
	if !f.Local[s].IsValid() {
		return nil
	}
	n := frame.ND{From: f.MAC[s], To: to, Src: f.Local[s], Dst: ip, Type: frame.NeighbourSolicit, Target: ip, Link: f.MAC[s]}
	if to == (frame.MAC{}) {
		n.Dst = frame.Group(ip)
		n.To = frame.GroupMAC(n.Dst)
	}
	return []Step{{Kind: Send, Side: s, ND: n}}
}

// duplicates is the question whether somebody has an address.
func duplicates(s neighbour.Side, ip netip.Addr, f Facts) []Step {
	group := frame.Group(ip)
	return []Step{{Kind: Send, Side: s, ND: frame.ND{
		From: f.MAC[s], To: frame.GroupMAC(group), Src: netip.IPv6Unspecified(), Dst: group, Type: frame.NeighbourSolicit, Target: ip,
	}}}
}

// answer is the answer to a question, for somebody on the other side or the router itself.
func answer(q question, f Facts) []Step {
	if !f.Local[q.side].IsValid() {
		return nil
	}
	n := frame.ND{From: f.MAC[q.side], To: q.mac, Src: f.Local[q.side], Dst: q.asker, Type: frame.NeighbourAdvert, Target: q.target, Link: f.MAC[q.side], Solicited: true}
	if q.asker.IsUnspecified() {
		n.To, n.Dst, n.Solicited, n.Override = frame.GroupMAC(frame.AllNodes), frame.AllNodes, false, true
	}
	return []Step{{Kind: Send, Side: q.side, ND: n}}
}

// Receive takes a frame that came on a side.
func (t *Table) Receive(s neighbour.Side, n frame.ND, f Facts) []Step {
	if f.ours(n.From) || n.From.Multicast() {
		return nil
	}
	switch n.Type {
	case frame.NeighbourSolicit:
		return append(t.sender(s, n.Src, n.From, f), t.asked(s, n, f)...)
	case frame.NeighbourAdvert:
		steps := t.answered(s, n, f)
		return append(steps, t.sender(s, n.Target, n.From, f)...)
	}
	return nil
}

// sender: a machine that sends on the shelf with an address has it, and on the uplink it has it no
// longer on the shelf.
func (t *Table) sender(s neighbour.Side, ip netip.Addr, mac frame.MAC, f Facts) []Step {
	b := t.boards[ip]
	switch {
	case s == neighbour.Uplink && b != nil:
		return append(t.drop(b), announce(neighbour.Shelf, ip, f)...)
	case s == neighbour.Uplink || !f.host(ip):
		return nil
	case b != nil:
		t.changed = t.changed || b.MAC != mac
		b.MAC, b.seen, b.tries = mac, f.Now, 0
		return nil
	}
	if len(t.boards) >= maxBoards || t.count(mac) >= maxEach {
		return nil
	}
	delete(t.forming, ip)
	b = &Board{IP: ip, MAC: mac, Since: f.Now, seen: f.Now}
	t.boards[ip], t.changed = b, true
	return append([]Step{{Kind: AddRoute, Board: *b}}, announce(neighbour.Uplink, ip, f)...)
}

func (t *Table) count(mac frame.MAC) (n int) {
	for _, b := range t.boards {
		if b.MAC == mac {
			n++
		}
	}
	return n
}

func (t *Table) drop(b *Board) []Step {
	delete(t.boards, b.IP)
	t.changed = true
	return []Step{{Kind: DelRoute, Board: *b}}
}

// asked brings a question over. Those for the router's own address of the uplink's network are
// answered on the shelf, where the kernel does not.
func (t *Table) asked(s neighbour.Side, n frame.ND, f Facts) []Step {
	q := question{s, n.Src, n.From, n.Target, f.Now}
	if s == neighbour.Shelf && slices.Contains(f.Own, n.Target) && slices.ContainsFunc(f.Networks, func(p netip.Prefix) bool { return p.Contains(n.Target) }) {
		return answer(q, f)
	}
	if !f.host(n.Target) {
		return nil
	}
	b, dup := t.boards[n.Target], n.Src.IsUnspecified()
	var steps []Step
	switch {
	case dup && s == neighbour.Uplink && b != nil && b.MAC == n.From: // it has moved
		steps = append(t.drop(b), announce(other(s), n.Target, f)...)
	case dup && s == neighbour.Shelf && b == nil && len(t.forming) < maxAsks:
		t.forming[n.Target] = f.Now
	case !dup && s == neighbour.Shelf && b != nil:
		return nil // on the same side
	}
	t.questions = slices.DeleteFunc(t.questions, func(o question) bool {
		return f.Now.Sub(o.at) > answerFor || o.side == q.side && o.target == q.target && o.mac == q.mac && o.asker == q.asker
	})
	if len(t.questions) >= maxAsks {
		return steps
	}
	t.questions = append(t.questions, q)
	o := other(s)
	switch {
	case dup:
		return append(steps, duplicates(o, n.Target, f)...)
	case b != nil:
		return append(steps, ask(o, n.Target, b.MAC, f)...)
	}
	return append(steps, ask(o, n.Target, frame.MAC{}, f)...)
}

// answered brings an answer over to all who asked.
func (t *Table) answered(s neighbour.Side, n frame.ND, f Facts) (steps []Step) {
	t.questions = slices.DeleteFunc(t.questions, func(q question) bool {
		match := q.target == n.Target && q.side != s && q.mac != n.From && f.Now.Sub(q.at) <= answerFor
		if match {
			steps = append(steps, answer(q, f)...)
		}
		return match
	})
	return steps
}

// Tick asks for addresses that boards have formed and boards that were not seen for long, and gives
// up those that do not answer. It is called every second, and every 200 ms while Busy.
func (t *Table) Tick(f Facts) []Step {
	var steps []Step
	for _, ip := range slices.SortedFunc(maps.Keys(t.forming), netip.Addr.Compare) {
		if f.Now.Sub(t.forming[ip]) >= formed {
			delete(t.forming, ip)
			if f.host(ip) && t.boards[ip] == nil {
				steps = append(steps, ask(neighbour.Shelf, ip, frame.MAC{}, f)...)
			}
		}
	}
	for _, b := range t.sorted() {
		switch {
		case !f.host(b.IP): // another network
			steps = append(steps, t.drop(b)...)
		case b.tries > 0 && f.Now.Sub(b.asked) < between:
		case b.tries >= tries:
			steps = append(steps, t.drop(b)...)
		case b.tries > 0, f.Now.Sub(b.seen) >= idle:
			if f.Local[neighbour.Shelf].IsValid() {
				b.asked, b.tries = f.Now, b.tries+1
				steps = append(steps, ask(neighbour.Shelf, b.IP, b.MAC, f)...)
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

// Load takes what was kept. All are asked whether they are still there.
func (t *Table) Load(boards []Board) {
	for _, b := range boards {
		if b.IP.Is6() && len(t.boards) < maxBoards {
			b.seen, b.asked, b.tries = time.Time{}, time.Time{}, 0
			t.boards[b.IP] = &b
		}
	}
}
