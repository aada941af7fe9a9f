// Package relay decides what becomes of DHCP messages between a shelf and the network that a router
// has joined as a plain Wi-Fi station, in one subnet. It changes no state but its own and sends
// nothing: its steps are carried out by package agent.
//
// A station may send with its own hardware address alone, and gets unicast frames for that one
// alone. So requests go up as the router's own, in one of two forms. With giaddr set to the
// uplink's address (RFC 2131, relay agent) the answer comes to the router by unicast; this suits
// every correct server. A server that ignores relayed requests gets them without giaddr and with
// the broadcast flag: the answer is for everybody then. Which form a server answers is remembered.
// The host route of an address is there before the client knows that it may use the address: else
// the kernel's ARP proxy would answer the client's own announcement, and the client would decline.
package relay

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"imgbuild/init/router/frame"
)

// Form is how requests go to a server.
type Form uint8

// The forms.
const (
	Unknown   Form = iota
	Giaddr         // relayed: the answer goes to the uplink's address
	Broadcast      // without giaddr: the answer goes to everybody
)

func (f Form) String() string { return [...]string{"unknown", "giaddr", "broadcast"}[min(f, 2)] }

func (f Form) other() Form {
	if f == Giaddr {
		return Broadcast
	}
	return Giaddr
}

// Facts are what is known when a message comes.
type Facts struct {
	Now       time.Time
	Uplink    netip.Prefix // the uplink's own address; the zero Prefix while it has none
	Own       netip.Addr   // the router's: that of the uplink, or the last one
	Up        bool         // it has a link
	Gateway   netip.Addr   // of the uplink; no client gets its address
	UplinkMAC frame.MAC
	ShelfMAC  frame.MAC
}

func (f Facts) online() bool { return f.Up && f.Uplink.IsValid() }

// Lease is an address that a client on the shelf has.
type Lease struct {
	IP     netip.Addr `json:"ip"`
	MAC    frame.MAC  `json:"mac"`
	Server netip.Addr `json:"server"`
	Name   string     `json:"name,omitempty"` // as the client calls itself
	Until  time.Time  `json:"until"`
	ACK    []byte     `json:"ack,omitempty"` // the server's message
}

// Kind is what a step does.
type Kind uint8

// The kinds of steps.
const (
	ToShelf  Kind = iota // send Datagram as a frame on the shelf
	ToUplink             // send it as a frame on the uplink
	ToServer             // send its Data from the router's port 67 to Dst, by the kernel
	Bound                // Lease is in use: a route, and an announcement on the uplink
	Left                 // Lease is not in use any more
)

// Step is one thing to do, in order.
type Step struct {
	Kind     Kind
	Datagram frame.Datagram
	Lease    Lease
}

// Ports of DHCP.
const (
	serverPort = 67
	clientPort = 68
)

// Limits that keep a flood of made-up clients from taking the memory.
const (
	maxPending = 512
	maxLeases  = 512
	maxHops    = 4
	maxRogues  = 16
)

// forget is how long an answer to a request is taken, and how long a server that was seen on the
// shelf counts.
const forget = time.Minute

var everybody = netip.AddrFrom4([4]byte{255, 255, 255, 255})

type exchange struct {
	mac frame.MAC
	xid uint32
}

// asked is a request that went up.
type asked struct {
	flags uint16 // as the client had them
	name  string
	at    time.Time
}

// patience is a client that waits.
type patience struct {
	tries int // requests since the last answer
	since time.Time
	last  time.Time
}

// Relay is the state. It is for one goroutine.
type Relay struct {
	forms   map[netip.Addr]Form // by the address that a server calls itself
	latest  Form                // that any server answered
	pending map[exchange]asked
	waiting map[frame.MAC]patience
	leases  map[frame.MAC]Lease
	rogues  map[frame.MAC]Rogue
	changed bool
}

// Rogue is a DHCP server on the shelf that is not the relay.
type Rogue struct {
	MAC  frame.MAC  `json:"mac"`
	IP   netip.Addr `json:"ip"`
	Last time.Time  `json:"last"`
}

// New makes one that knows nothing.
func New() *Relay {
	return &Relay{forms: map[netip.Addr]Form{}, pending: map[exchange]asked{}, waiting: map[frame.MAC]patience{}, leases: map[frame.MAC]Lease{}, rogues: map[frame.MAC]Rogue{}}
}

// message is a DHCP message with its bytes, which are changed in place: options that this program
// does not know stay as they are.
type message struct {
	*dhcpv4.DHCPv4
	bytes []byte
	kind  dhcpv4.MessageType
	mac   frame.MAC
	xid   uint32
}

// Offsets into a message, RFC 2131.
const (
	offHops, offXID, offFlags, offGiaddr = 3, 4, 10, 24
	broadcastFlag                        = 0x8000
)

// read parses a message of Ethernet's; false for anything else.
func read(data []byte, op dhcpv4.OpcodeType) (m message, ok bool) {
	p, err := dhcpv4.FromBytes(data)
	if err != nil || p.OpCode != op || p.HWType != 1 || len(p.ClientHWAddr) != 6 {
		return m, false
	}
	m = message{DHCPv4: p, bytes: append([]byte{}, data...), kind: p.MessageType(), mac: frame.MACOf(p.ClientHWAddr), xid: binary.BigEndian.Uint32(data[offXID:])}
	return m, m.kind != dhcpv4.MessageTypeNone
}

func (m message) flags() uint16     { return binary.BigEndian.Uint16(m.bytes[offFlags:]) }
func (m message) setFlags(f uint16) { binary.BigEndian.PutUint16(m.bytes[offFlags:], f) }
func (m message) giaddr() netip.Addr {
	return netip.AddrFrom4([4]byte(m.bytes[offGiaddr : offGiaddr+4]))
}
func (m message) setGiaddr(a netip.Addr) {
	four := a.As4()
	copy(m.bytes[offGiaddr:], four[:])
}

func addr(ip []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}

// wanted is the address that a request is about.
func (m message) wanted() netip.Addr {
	if a := addr(m.RequestedIPAddress().To4()); a.IsValid() {
		return a
	}
	return addr(m.ClientIPAddr.To4())
}

func (m message) server() netip.Addr { return addr(m.ServerIdentifier().To4()) }

// FromShelf takes a datagram that came to port 67, or from it, on the shelf.
func (r *Relay) FromShelf(d frame.Datagram, f Facts) []Step {
	if d.From == f.ShelfMAC || d.From == f.UplinkMAC {
		return nil
	}
	if _, reply := read(d.Data, dhcpv4.OpcodeBootReply); reply && d.Src.Port() == serverPort {
		if len(r.rogues) < maxRogues || r.rogues[d.From] != (Rogue{}) {
			r.rogues[d.From] = Rogue{d.From, d.Src.Addr(), f.Now}
		}
		return nil
	}
	m, ok := read(d.Data, dhcpv4.OpcodeBootRequest)
	if !ok || d.Dst.Port() != serverPort || m.mac == f.UplinkMAC || m.mac == f.ShelfMAC || !m.giaddr().IsUnspecified() || m.bytes[offHops] >= maxHops {
		return nil
	}
	to := d.Dst.Addr()
	if to != everybody && (to == f.Uplink.Addr() || to.IsMulticast()) {
		return nil
	}
	if !f.online() {
		return r.remembered(m, f)
	}
	var steps []Step
	if l, has := r.leases[m.mac]; has {
		gone := m.kind == dhcpv4.MessageTypeRelease && addr(m.ClientIPAddr.To4()) == l.IP || m.kind == dhcpv4.MessageTypeDecline && m.wanted() == l.IP
		if gone {
			delete(r.leases, m.mac)
			r.changed = true
			steps = append(steps, Step{Kind: Left, Lease: l})
		}
	}
	w := r.waiting[m.mac]
	form := r.form(m.server(), to, w.tries)
	switch m.kind {
	case dhcpv4.MessageTypeRelease, dhcpv4.MessageTypeDecline: // nobody answers these
	default:
		if w.tries == 0 {
			w.since = f.Now
		}
		w.tries, w.last = w.tries+1, f.Now
		if len(r.pending) >= maxPending || len(r.waiting) >= maxPending {
			return steps
		}
		r.waiting[m.mac] = w
		r.pending[exchange{m.mac, m.xid}] = asked{m.flags(), m.HostName(), f.Now}
	}
	m.bytes[offHops]++
	up := frame.Datagram{From: f.UplinkMAC, To: frame.Broadcast, Dst: netip.AddrPortFrom(everybody, serverPort)}
	switch form {
	case Giaddr:
		m.setGiaddr(f.Uplink.Addr())
		up.Src = netip.AddrPortFrom(f.Uplink.Addr(), serverPort)
		if to != everybody { // to the server that it was meant for: another one might refuse it
			up.Dst, up.Data = d.Dst, m.bytes
			return append(steps, Step{Kind: ToServer, Datagram: up})
		}
	default:
		m.setFlags(m.flags() | broadcastFlag)
		up.Src = netip.AddrPortFrom(addr(m.ClientIPAddr.To4()), clientPort)
	}
	up.Data = m.bytes
	return append(steps, Step{Kind: ToUplink, Datagram: up})
}

// form returns how a request goes up: as this server answered before, one for any server as the
// latest one did, and every other time the other way.
func (r *Relay) form(server, to netip.Addr, tries int) Form {
	first := r.forms[server]
	if first == Unknown && to != everybody {
		first = r.forms[to]
	}
	if first == Unknown && !server.IsValid() && to == everybody {
		first = r.latest
	}
	if first == Unknown {
		first = Giaddr
	}
	if tries%2 == 1 {
		return first.other()
	}
	return first
}

// FromUplink takes a datagram that came from port 67 on the uplink. Whether it is for everybody is
// seen by the frame: Kea sends some answers to a client's address in a frame for everybody, which
// the kernel does not forward.
func (r *Relay) FromUplink(d frame.Datagram, f Facts) []Step {
	m, ok := read(d.Data, dhcpv4.OpcodeBootReply)
	own := f.Uplink.Addr()
	if !ok || !f.online() || d.Src.Port() != serverPort || m.mac == f.UplinkMAC || m.mac == f.ShelfMAC || d.From == f.UplinkMAC {
		return nil
	}
	toUs := d.Dst.Addr() == own && d.Dst.Port() == serverPort
	if !toUs && d.To != frame.Broadcast {
		return nil // on its way through, or somebody else's
	}
	a, known := r.pending[exchange{m.mac, m.xid}]
	if !known && !(toUs && m.giaddr() == own) {
		return nil // a client of the other side
	}
	server := m.server()
	if !server.IsValid() {
		server = d.Src.Addr()
	}
	form := Broadcast
	if toUs {
		form = Giaddr
	}
	// A server that pings an address before it offers it may answer the second question although it
	// has understood the first: what counts is the answer to a request, and giaddr where both work.
	if was := r.forms[server]; m.kind == dhcpv4.MessageTypeAck && was != Giaddr && was != form && len(r.forms) < maxLeases {
		r.forms[server], r.changed = form, true
	}
	if r.latest != Giaddr {
		r.latest = form
	}
	delete(r.waiting, m.mac)
	var steps []Step
	old, had := r.leases[m.mac]
	switch m.kind {
	case dhcpv4.MessageTypeAck:
		ip := addr(m.YourIPAddr.To4())
		if ip.IsUnspecified() {
			break // the answer to INFORM
		}
		if ip == own || ip == f.Gateway || ip == server || !f.Uplink.Masked().Contains(ip) {
			return nil // its route would cut the way to the network itself
		}
		if had && old.IP != ip {
			steps = append(steps, Step{Kind: Left, Lease: old})
		}
		if !had && len(r.leases) >= maxLeases {
			return nil
		}
		l := Lease{IP: ip, MAC: m.mac, Server: server, Name: a.name, Until: f.Now.Add(m.IPAddressLeaseTime(time.Hour)), ACK: append([]byte{}, m.bytes...)}
		if l.Name == "" && had {
			l.Name = old.Name
		}
		for mac, o := range r.leases {
			if o.IP == ip && mac != m.mac {
				delete(r.leases, mac)
			}
		}
		r.leases[m.mac], r.changed = l, true
		steps = append(steps, Step{Kind: Bound, Lease: l})
	case dhcpv4.MessageTypeNak:
		if had {
			delete(r.leases, m.mac)
			r.changed = true
			steps = append(steps, Step{Kind: Left, Lease: old})
		}
	}
	m.setGiaddr(netip.IPv4Unspecified())
	if known {
		m.setFlags(a.flags)
	}
	return append(steps, r.down(m.bytes, d.Src.Addr(), f))
}

// down brings a message to the shelf. Every client takes one that is for everybody, whatever flag
// it has set.
func (r *Relay) down(data []byte, from netip.Addr, f Facts) Step {
	data = withTime(data, f.Own)
	return Step{Kind: ToShelf, Datagram: frame.Datagram{
		From: f.ShelfMAC, To: frame.Broadcast, Src: netip.AddrPortFrom(from, serverPort), Dst: netip.AddrPortFrom(everybody, clientPort), Data: data,
	}}
}

// Tick forgets what is over. Leases do not end while the uplink is away: nobody could renew them.
func (r *Relay) Tick(f Facts) []Step {
	for id, a := range r.pending {
		if f.Now.Sub(a.at) > forget {
			delete(r.pending, id)
		}
	}
	for mac, w := range r.waiting {
		if f.Now.Sub(w.last) > 2*forget {
			delete(r.waiting, mac)
		}
	}
	for mac, g := range r.rogues {
		if f.Now.Sub(g.Last) > 60*forget {
			delete(r.rogues, mac)
		}
	}
	if !f.online() {
		return nil
	}
	var steps []Step
	for _, l := range r.Leases() {
		if l.Until.Before(f.Now) {
			delete(r.leases, l.MAC)
			r.changed = true
			steps = append(steps, Step{Kind: Left, Lease: l})
		}
	}
	return steps
}
