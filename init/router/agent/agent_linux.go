package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"time"

	"github.com/vishvananda/netlink"

	"imgbuild/init/base/guard"
	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/fault"
	"imgbuild/init/net/mdns"
	"imgbuild/init/router/blocklist"
	"imgbuild/init/router/frame"
	"imgbuild/init/router/neighbour"
	"imgbuild/init/router/relay"
)

// Agent is the running service. Its fields are set before Run.
type Agent struct {
	Settings Settings
	State    string // the directory of what outlives a restart
	Status   string // the file for the status
	Say      func(format string, a ...any)

	relay  *relay.Relay
	table  *neighbour.Table
	cards  [2]nic // by neighbour.Side
	index  [2]int
	socks  [2]*sockets
	server *net.UDPConn
	last   netip.Prefix // the uplink's address, or the last one
	onLo   netip.Addr   // of it, while the uplink has none
	ula    netip.Prefix // of mode nat, on the shelf
	gw     netip.Addr
	seen   time.Time // the gateway
	told   map[string]bool
	errs   map[string]error  // of the last attempt, by what was attempted
	status Status            // as written last
	rules  string            // as loaded last
	kept   map[string]string // files as written last
	lists  blocklist.State
	six    *six // of mode proxy-arp; nil without IPv6
	budget budget

	frames chan received
}

// saved is the file of what outlives a restart.
type saved struct {
	Relay  relay.Saved       `json:"relay"`
	Boards []neighbour.Board `json:"boards"`
	Uplink netip.Prefix      `json:"uplink,omitzero"`
	Six    savedSix          `json:"six,omitzero"`
}

// settled is how long after the start the service has done everything once.
const settled = 30 * time.Second

func (a *Agent) stateFile() string { return filepath.Join(a.State, "state.json") }

// Run runs the router until ctx ends. Routes and rules stay then: a restart does not interrupt what
// is forwarded.
func (a *Agent) Run(ctx context.Context) error {
	a.relay, a.table, a.told, a.errs = relay.New(), neighbour.New(), map[string]bool{}, map[string]error{}
	a.frames, a.kept = make(chan received, 64), map[string]string{}
	if a.Settings.Mode != ProxyARP && a.Settings.Mode != NAT {
		return fault.New(fault.Input, "set router.mode", "there is no mode %q", a.Settings.Mode)
	}
	if err := os.MkdirAll(a.State, 0o755); err != nil {
		return fault.Wrap(err, fault.Device, "", "the router's state")
	}
	proxy := a.Settings.Mode == ProxyARP
	if proxy {
		if HasIPv6() {
			a.six = newSix()
			defer a.six.groups.close()
		}
		a.load()
		// What comes to port 67 is read from packet sockets; without this one the kernel would
		// refuse it to the sender. It sends what goes to one server alone.
		conn, err := net.ListenUDP("udp4", &net.UDPAddr{Port: 67})
		if err != nil {
			return fault.Wrap(err, fault.Unhealthy, "stop the other DHCP server or relay of this node", "port 67")
		}
		defer conn.Close()
		a.server = conn
		guard.Go(func() {
			for buf := make([]byte, 64); ; {
				if _, _, err := conn.ReadFromUDP(buf); errors.Is(err, net.ErrClosed) {
					return
				}
			}
		})
	}
	if !proxy {
		ula, err := a.loadULA()
		a.attempt("the network of IPv6", err)
		a.ula = ula
	}
	links, addrs, routes, stop := make(chan netlink.LinkUpdate, 16), make(chan netlink.AddrUpdate, 16), make(chan netlink.RouteUpdate, 16), make(chan struct{})
	defer close(stop)
	for _, err := range []error{netlink.LinkSubscribe(links, stop), netlink.AddrSubscribe(addrs, stop), netlink.RouteSubscribe(routes, stop)} {
		if err != nil {
			return fault.Wrap(err, fault.Internal, "", "news of the kernel")
		}
	}
	defer func() {
		for _, s := range a.socks {
			s.close()
		}
	}()
	a.look(time.Now())
	next := time.NewTimer(a.pace())
	looked, settle := time.Now(), time.After(settled)
	for {
		event := false
		select {
		case <-ctx.Done():
			a.save()
			return nil
		case <-settle:
			a.attempt("giving back memory", giveBack())
			settle = time.After(10 * settled) // what leases and others needed
		case f := <-a.frames:
			a.take(f, time.Now())
			for range len(a.frames) { // what came meanwhile
				a.take(<-a.frames, time.Now())
			}
		case _, open := <-links:
			event = true
			if !open {
				return fault.New(fault.Internal, "", "the kernel sends no more news of interfaces")
			}
		case _, open := <-addrs:
			event = true
			if !open {
				return fault.New(fault.Internal, "", "the kernel sends no more news of addresses")
			}
		case r, open := <-routes:
			event = r.Protocol != routeProtocol
			if !open {
				return fault.New(fault.Internal, "", "the kernel sends no more news of routes")
			}
		case <-next.C:
			now := time.Now()
			if proxy {
				a.carryOut(a.relay.Tick(a.relayFacts(now)), now)
				if a.cards[neighbour.Shelf].Link {
					a.arrange(a.table.Tick(a.facts(now)))
				}
				a.tickSix(now)
				if a.Settings.Names.Enabled {
					a.attempt("the names of the boards", a.keep(boardsFile, boardHosts(a.relay.Leases(), a.Settings.Names.Ours)))
				}
			}
			event = now.Sub(looked) >= lookEvery
			next.Reset(a.pace())
		}
		if event {
			for len(links) > 0 || len(addrs) > 0 || len(routes) > 0 { // one look for all of them
				select {
				case <-links:
				case <-addrs:
				case <-routes:
				}
			}
			looked = time.Now()
			a.look(looked)
		}
		a.save()
		a.report(time.Now())
	}
}

// pace is the time until the next tick.
func (a *Agent) pace() time.Duration {
	if a.table.Busy() || a.six != nil && a.six.table.Busy() {
		return 200 * time.Millisecond
	}
	return time.Second
}

func (a *Agent) facts(now time.Time) neighbour.Facts {
	return neighbour.Facts{Now: now, Uplink: a.last, Gateway: a.gw, UplinkMAC: a.cards[neighbour.Uplink].MAC, ShelfMAC: a.cards[neighbour.Shelf].MAC}
}

func (a *Agent) relayFacts(now time.Time) relay.Facts {
	u := a.cards[neighbour.Uplink]
	return relay.Facts{Now: now, Uplink: u.Address, Own: a.last.Addr(), Up: u.Link, Gateway: a.gw, UplinkMAC: u.MAC, ShelfMAC: a.cards[neighbour.Shelf].MAC}
}

// attempt notes what became of something that is tried again and again, and reports a change.
func (a *Agent) attempt(what string, err error) {
	was := a.errs[what]
	if err != nil && (was == nil || was.Error() != err.Error()) {
		a.Say("%s: %v", what, err)
	}
	if err == nil {
		delete(a.errs, what)
	} else {
		a.errs[what] = err
	}
}

// take handles a frame.
func (a *Agent) take(f received, now time.Time) {
	s := a.socks[f.side]
	if f.of != s {
		return // of a socket that was closed
	}
	if f.data == nil {
		s.close()
		a.socks[f.side] = nil
		return
	}
	switch f.kind {
	case arp:
		if p, ok := frame.ParseARP(f.data); ok {
			if f.side == neighbour.Uplink && p.Sender == a.gw && p.From != a.cards[neighbour.Uplink].MAC {
				a.seen = now
			}
			a.arrange(a.table.Receive(f.side, p, a.facts(now)))
		}
		return
	case nd:
		a.takeSix(f, now)
		return
	}
	d, ok := frame.ParseUDP(f.data)
	switch {
	case !ok:
	case d.Dst.Port() == mdns.Port:
		a.reflect(f.side, d, now)
	case f.side == neighbour.Shelf:
		a.carryOut(a.relay.FromShelf(d, a.relayFacts(now)), now)
	default:
		a.carryOut(a.relay.FromUplink(d, a.relayFacts(now)), now)
	}
}

// carryOut carries out what the relay decided, in order.
func (a *Agent) carryOut(steps []relay.Step, now time.Time) {
	for _, s := range steps {
		switch s.Kind {
		case relay.ToShelf:
			a.attempt("sending DHCP to the shelf", a.socks[neighbour.Shelf].send(s.Datagram.To, s.Datagram.Bytes(), udp))
		case relay.ToUplink:
			a.attempt("sending DHCP to the uplink", a.socks[neighbour.Uplink].send(s.Datagram.To, s.Datagram.Bytes(), udp))
		case relay.ToServer:
			_, err := a.server.WriteToUDPAddrPort(s.Datagram.Data, s.Datagram.Dst)
			a.attempt("sending DHCP to its server", err)
		case relay.Bound:
			a.arrange(a.table.Bound(s.Lease.IP, s.Lease.MAC, s.Lease.Until, a.facts(now)))
		case relay.Left:
			a.arrange(a.table.Left(s.Lease.IP, s.Lease.MAC))
		}
	}
}

// arrange carries out what follows from who is where.
func (a *Agent) arrange(steps []neighbour.Step) {
	for _, s := range steps {
		switch s.Kind {
		case neighbour.AddRoute:
			if time.Since(s.Board.Since) < time.Second { // and not a renewal
				a.Say("%s (%s) is on the shelf", s.Board.IP, s.Board.MAC)
			}
			a.attempt("the route to "+s.Board.IP.String(), addRoute(a.index[neighbour.Shelf], s.Board.IP, a.last.Addr()))
		case neighbour.DelRoute:
			a.Say("%s (%s) is not on the shelf any more", s.Board.IP, s.Board.MAC)
			a.attempt("the route to "+s.Board.IP.String(), delRoute(a.index[neighbour.Shelf], s.Board.IP))
		case neighbour.Send:
			a.attempt("sending ARP", a.socks[s.Side].send(s.ARP.To, s.ARP.Bytes(), arp))
		}
	}
}

// look reads what the kernel has, and makes it what it should be.
func (a *Agent) look(now time.Time) {
	for side, ref := range map[neighbour.Side]string{neighbour.Shelf: a.Settings.Shelf, neighbour.Uplink: a.Settings.Uplink} {
		c, index, err := card(ref)
		a.attempt("looking at "+ref, err)
		if err == nil {
			a.side(side, c, index)
		}
	}
	up := a.cards[neighbour.Uplink]
	a.gw = netip.Addr{}
	if up.Present {
		a.gw = gateway(a.index[neighbour.Uplink])
	}
	if a.Settings.Mode == NAT {
		a.firewall(natRules(a.Settings, a.cards[neighbour.Uplink], a.cards[neighbour.Shelf], a.ula))
		a.attempt("IPv6 on the shelf", a.setULA())
		a.names()
		a.greet(now)
		return
	}
	if up.Address.IsValid() {
		a.last = up.Address
		if a.onLo.IsValid() {
			a.attempt("the address on lo", keepAddress(a.onLo, false))
			a.onLo = netip.Addr{}
		}
	} else if ip := a.last.Addr(); ip.IsValid() && a.onLo != ip {
		a.attempt("the address on lo", keepAddress(ip, true)) // boards know the node by it
		a.onLo = ip
	}
	var boards []netip.Addr
	for _, b := range a.table.Boards() {
		boards = append(boards, b.IP)
	}
	a.attempt("the routes to the boards", syncRoutes(a.index[neighbour.Shelf], netlink.FAMILY_V4, boards, a.last.Addr()))
	a.lookSix(now)
	a.firewall(proxyRules(a.Settings, up, a.cards[neighbour.Shelf]))
	a.names()
	a.greet(now)
}

// greet asks the gateway whether it is there, unless it was just seen.
func (a *Agent) greet(now time.Time) {
	up := a.cards[neighbour.Uplink]
	if !a.gw.IsValid() || !up.Link || !up.Address.IsValid() || now.Sub(a.seen) < lookEvery/2 {
		return
	}
	q := frame.ARP{From: up.MAC, To: frame.Broadcast, Op: frame.Request, SenderMAC: up.MAC, Sender: up.Address.Addr(), Target: a.gw}
	a.attempt("sending ARP", a.socks[neighbour.Uplink].send(q.To, q.Bytes(), arp))
}

// side takes the state of a card: its sockets are open while it is there and switched on.
func (a *Agent) side(side neighbour.Side, c nic, index int) {
	was := a.cards[side]
	a.cards[side] = c
	if c.Link != was.Link || c.Present != was.Present || c.Address != was.Address {
		a.Say("%s %s: %s", [...]string{"shelf", "uplink"}[side], c.Name, c.card().Words())
	}
	if s := a.socks[side]; s != nil && s.index != index {
		s.close()
		a.socks[side] = nil
	}
	a.index[side] = index
	if !c.Present {
		return
	}
	if a.Settings.Mode == ProxyARP {
		if up, shelf := a.cards[neighbour.Uplink], a.cards[neighbour.Shelf]; up.Present && shelf.Present {
			a.attempt("kernel settings", setSysctls(proxySysctls(up.Name, shelf.Name)))
		}
	} else {
		a.attempt("kernel settings", setSysctls(map[string]string{"ipv4/ip_forward": "1"}))
	}
	if a.socks[side] == nil {
		s, err := open(side, c.Name, index, listens(a.Settings.Mode, a.six != nil), a.frames)
		a.attempt("listening on "+c.Name, err)
		if err == nil {
			a.socks[side] = s
		}
	}
}

// load takes what an earlier run has kept.
func (a *Agent) load() {
	data, err := os.ReadFile(a.stateFile())
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var s saved
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	if err != nil {
		a.Say("what was kept is not used: %v", err) // boards are learnt again
		return
	}
	a.relay.Load(s.Relay)
	a.table.Load(s.Boards)
	a.last = s.Uplink
	if a.six != nil {
		a.six.load(s.Six, time.Now())
	}
}

// save keeps what has changed.
func (a *Agent) save() {
	if a.Settings.Mode != ProxyARP {
		return
	}
	r, one := a.relay.Save()
	b, two := a.table.Save()
	six, three := a.six.save()
	if up := a.cards[neighbour.Uplink].Address; !one && !two && !three && (!up.IsValid() || a.told["uplink "+up.String()]) {
		return
	} else if up.IsValid() {
		a.told["uplink "+up.String()] = true
	}
	data, err := json.Marshal(saved{r, b, a.last, six})
	if err == nil {
		err = atomicfile.Write(a.stateFile(), data, 0o600)
	}
	a.attempt("keeping the state", err)
}

// report writes the status if it is another one, or old.
func (a *Agent) report(now time.Time) {
	s := a.now(now)
	old := a.status
	old.Written, old.Answered = s.Written, s.Answered
	if reflect.DeepEqual(old, s) && now.Sub(a.status.Written) < lookEvery {
		return
	}
	a.status = s
	data, err := json.Marshal(s)
	if err == nil {
		err = atomicfile.Write(a.Status, data, 0o644)
	}
	a.attempt("writing the status", err)
}

func (a *Agent) now(now time.Time) Status {
	s := Status{
		Mode: a.Settings.Mode, Uplink: a.cards[neighbour.Uplink].card(), Shelf: a.cards[neighbour.Shelf].card(), Answered: a.seen.Round(0),
		Boards: []Board{}, Written: now.Round(0),
	}
	if a.gw.IsValid() {
		s.Gateway = a.gw.String()
	}
	names := map[frame.MAC]string{}
	for _, l := range a.relay.Leases() {
		names[l.MAC] = l.Name
	}
	for _, b := range a.table.Boards() {
		s.Boards = append(s.Boards, Board{IP: b.IP.String(), MAC: b.MAC.String(), Name: names[b.MAC], Until: b.Until, Since: b.Since})
	}
	if a.six != nil {
		s.Boards = withSix(s.Boards, a.six.table.Boards())
	}
	forms := a.relay.Forms()
	for _, ip := range slices.SortedFunc(maps.Keys(forms), netip.Addr.Compare) {
		s.Servers = append(s.Servers, Server{ip.String(), forms[ip].String()})
	}
	for _, l := range a.lists.Lists {
		s.Lists = append(s.Lists, Blocklist{l.From, l.Names, l.Fetched, l.Left.Words()})
	}
	s.Blocked = a.lists.Names
	s.Problems = a.problems(now)
	return s
}

// problems are what people have to fix.
func (a *Agent) problems(now time.Time) []Problem {
	var list []Problem
	add := func(fix, format string, args ...any) { list = append(list, Problem{fmt.Sprintf(format, args...), fix}) }
	up, shelf := a.cards[neighbour.Uplink], a.cards[neighbour.Shelf]
	if up.Present && shelf.Present && a.index[neighbour.Uplink] == a.index[neighbour.Shelf] {
		add("set router.uplink.interface and router.shelf.interface to two cards", "uplink and shelf are the same card, %s", up.Name)
	}
	if p, bad := overlap(up, a.Settings.NAT.Network); bad {
		list = append(list, p)
	}
	if a.table.Looped(now) {
		add("take out the cable between the shelf's switch and the modem, or switch the uplink's Wi-Fi off", "a cable joins the shelf and the uplink's network past the router")
	}
	if t, ok := a.table.Taken(now); ok {
		add("give it another address", "the machine %s on the shelf uses %s, the address of the gateway or of the router", t.MAC, t.IP)
	}
	for _, g := range a.relay.Rogues() {
		add("switch its DHCP off, or take it off the shelf", "a second DHCP server answers on the shelf: %s, %s", g.IP, g.MAC)
	}
	for _, mac := range a.relay.Deaf(a.relayFacts(now)) {
		add("see whether the modem's DHCP is on and has free addresses; if it ignores requests of a relay, give the board an address of its own (network.interfaces)",
			"no DHCP server answers %s, with or without a relay's address", mac)
	}
	for _, l := range a.lists.Lists {
		if l.Problem != "" {
			add("see router.dns.blocklists and shelf logs "+BlocklistUnit+"; it is tried again every hour", "the blocklist %s: %s", l.From, l.Problem)
		}
	}
	for _, what := range slices.Sorted(maps.Keys(a.errs)) {
		add("see shelf logs router", "%s: %v", what, a.errs[what])
	}
	return list
}
