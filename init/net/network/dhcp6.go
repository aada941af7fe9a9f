package network

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/dhcpv6/nclient6"
	"github.com/insomniacslk/dhcp/iana"
)

// mode6 is what routers ask a machine to do (RFC 4861, 4.2: M and O).
type mode6 uint8

const (
	noDHCP6   mode6 = iota
	namesOnly       // O: name servers and the like, addresses are formed from advertisements
	stateful        // M: addresses too
)

// Bounds of what a server is believed.
const (
	maxAddresses6 = 8
	minRefresh6   = 10 * time.Minute
	maxRefresh6   = 24 * time.Hour // RFC 8415, 21.23: the default
)

// dhcp6 keeps one interface's DHCPv6 lease (RFC 8415).
type dhcp6 struct {
	mac      net.HardwareAddr
	dial     func() (net.PacketConn, error)            // from the interface's link-local address
	await    func(context.Context) mode6               // returns when there is something to ask for; noDHCP6 when ctx ends
	sleep    func(context.Context, time.Duration) bool // returns early when ctx ends, and with true when the link or the routers' wish changed
	now      func() time.Time
	say      func(format string, args ...any)
	lease    func(s *State)       // a server's answer; nil when it is lost
	wait     time.Duration        // for an answer, doubled with each try; answerWait if 0
	held     map[netip.Prefix]end // the addresses of the lease that is held
	reported string               // the last error, not reported a second time
}

// end is when an address ends; the zero time is never.
type end struct{ preferred, valid time.Time }

// run asks, renews, rebinds and asks again until ctx ends.
func (d *dhcp6) run(ctx context.Context) {
	pause := firstPause
	for {
		mode := d.await(ctx)
		if ctx.Err() != nil || mode == noDHCP6 {
			return
		}
		d.expire()
		reply, err := d.acquire(ctx, mode)
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			if text := err.Error(); text != d.reported {
				d.reported = text
				d.say("dhcpv6: %v", err)
			}
			d.sleep(ctx, pause)
			pause = min(2*pause, longPause)
			continue
		}
		pause, d.reported = firstPause, ""
		if mode == namesOnly {
			s := fromReply6(reply, d.now())
			d.lease(&s)
			d.sleep(ctx, min(max(reply.Options.InformationRefreshTime(maxRefresh6), minRefresh6), maxRefresh6))
			continue
		}
		d.hold(ctx, reply)
	}
}

// expire removes a lease that ended while nobody was asked.
func (d *dhcp6) expire() {
	for _, e := range d.held {
		if e.valid.IsZero() || d.now().Before(e.valid) {
			return
		}
	}
	if len(d.held) > 0 {
		d.lose("the lease has run out")
	}
}

func (d *dhcp6) lose(why string) {
	d.say("dhcpv6: %s", why)
	d.held = nil
	d.lease(nil)
}

// hold lives with a lease until it is lost, which is reported, or ctx ends.
func (d *dhcp6) hold(ctx context.Context, reply *dhcpv6.Message) {
	for ctx.Err() == nil {
		began := d.now()
		s := fromReply6(reply, began)
		d.held = s.Ends
		d.lease(&s)
		t := times6(reply)
		d.say("dhcpv6: %v for %s", s.Addresses, t.lease)
		var next *dhcpv6.Message
		for at := t.renew; ; {
			kicked := d.sleep(ctx, at-d.now().Sub(began))
			if ctx.Err() != nil {
				return
			}
			age := d.now().Sub(began)
			if age >= t.lease {
				d.lose("the lease has run out")
				return
			}
			kind := dhcpv6.MessageTypeRenew
			if kicked || age >= t.rebind { // the cable may be in another network now
				kind = dhcpv6.MessageTypeRebind
			}
			answer, err := d.exchange(ctx, kind, reply)
			if ctx.Err() != nil {
				return
			}
			if err == nil && len(fromReply6(answer, began).Addresses) > 0 {
				next = answer
				break
			}
			if err == nil {
				d.lose("the server took the address back")
				return
			}
			if kicked && age < t.renew {
				continue // it stays until its time; any server may answer then
			}
			mark := t.lease
			if age < t.rebind {
				mark = t.rebind
			}
			at = min(d.now().Sub(began)+max((mark-age)/2, time.Minute), mark)
		}
		reply = next
	}
}

// acquire gets a reply. A lease that is held is asked for again first.
func (d *dhcp6) acquire(ctx context.Context, mode mode6) (*dhcpv6.Message, error) {
	if mode == namesOnly {
		return d.exchange(ctx, dhcpv6.MessageTypeInformationRequest, nil)
	}
	if len(d.held) > 0 {
		if reply, err := d.exchange(ctx, dhcpv6.MessageTypeRebind, nil); err == nil && len(fromReply6(reply, d.now()).Addresses) > 0 {
			return reply, nil
		}
	}
	offer, err := d.exchange(ctx, dhcpv6.MessageTypeSolicit, nil)
	if err != nil {
		return nil, err
	}
	if len(fromReply6(offer, d.now()).Addresses) == 0 {
		return nil, errors.New("the server has no address for this machine")
	}
	reply, err := d.exchange(ctx, dhcpv6.MessageTypeRequest, offer)
	if err == nil && len(fromReply6(reply, d.now()).Addresses) == 0 {
		err = errors.New("the server offered an address and refused it")
	}
	return reply, err
}

// exchange sends one message, with the addresses and the server of what went before, and returns
// the answer to it.
func (d *dhcp6) exchange(ctx context.Context, kind dhcpv6.MessageType, before *dhcpv6.Message) (*dhcpv6.Message, error) {
	conn, err := d.dial()
	if err != nil {
		return nil, err
	}
	c, err := nclient6.NewWithConn(conn, d.mac, nclient6.WithTimeout(cmp.Or(d.wait, answerWait)), nclient6.WithRetry(answerTries))
	if err != nil {
		conn.Close()
		return nil, err
	}
	defer c.Close()
	m, err := d.message(kind, before)
	if err != nil {
		return nil, err
	}
	want := dhcpv6.MessageTypeReply
	if kind == dhcpv6.MessageTypeSolicit {
		want = dhcpv6.MessageTypeAdvertise
	}
	match := func(p *dhcpv6.Message) bool {
		id := p.Options.ClientID()
		return p.Type() == want && id != nil && id.Equal(d.duid()) && p.Options.ServerID() != nil
	}
	answer, err := c.SendAndRead(ctx, nclient6.AllDHCPRelayAgentsAndServers, m, match)
	if errors.Is(err, nclient6.ErrNoResponse) {
		return nil, errors.New("no server answers")
	}
	if err != nil {
		return nil, err
	}
	if st := answer.Options.Status(); st != nil && st.StatusCode != iana.StatusSuccess {
		return nil, fmt.Errorf("the server refuses: %s", st.StatusCode)
	}
	return answer, nil
}

// duid names this machine by its hardware address, so that it is the same after every boot (RFC
// 8415, 11.4).
func (d *dhcp6) duid() dhcpv6.DUID {
	return &dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: d.mac}
}

// message makes one of our messages.
func (d *dhcp6) message(kind dhcpv6.MessageType, before *dhcpv6.Message) (*dhcpv6.Message, error) {
	m, err := dhcpv6.NewMessage()
	if err != nil {
		return nil, err
	}
	m.MessageType = kind
	m.AddOption(dhcpv6.OptClientID(d.duid()))
	if before != nil && kind != dhcpv6.MessageTypeRebind {
		m.AddOption(dhcpv6.OptServerID(before.Options.ServerID()))
	}
	m.AddOption(dhcpv6.OptElapsedTime(0))
	m.AddOption(dhcpv6.OptRequestedOption(dhcpv6.OptionDNSRecursiveNameServer, dhcpv6.OptionDomainSearchList, dhcpv6.OptionNTPServer, dhcpv6.OptionSNTPServerList))
	if kind == dhcpv6.MessageTypeInformationRequest {
		return m, nil
	}
	if len(d.mac) < 4 {
		return nil, errors.New("the interface has no hardware address")
	}
	ia := &dhcpv6.OptIANA{}
	copy(ia.IaId[:], d.mac[len(d.mac)-4:])
	var list []netip.Addr
	if before != nil {
		for _, p := range fromReply6(before, d.now()).Addresses {
			list = append(list, p.Addr())
		}
	} else if kind == dhcpv6.MessageTypeRebind {
		for p := range d.held {
			list = append(list, p.Addr())
		}
		slices.SortFunc(list, netip.Addr.Compare)
	}
	for _, a := range list {
		ia.Options.Add(&dhcpv6.OptIAAddress{IPv6Addr: a.AsSlice()})
	}
	m.AddOption(ia)
	return m, nil
}

// fromReply6 returns the content of a server's message. Addresses come without a network: routers
// announce what is on the link.
func fromReply6(m *dhcpv6.Message, now time.Time) State {
	s := State{Ends: map[netip.Prefix]end{}}
	for _, ia := range m.Options.IANA() {
		if st := ia.Options.Status(); st != nil && st.StatusCode != iana.StatusSuccess {
			continue
		}
		for _, o := range ia.Options.Addresses() {
			a, ok := netip.AddrFromSlice(o.IPv6Addr.To16())
			if !ok || a.Is4In6() || !a.IsGlobalUnicast() || o.ValidLifetime <= 0 || o.PreferredLifetime > o.ValidLifetime || len(s.Addresses) >= maxAddresses6 {
				continue
			}
			p := netip.PrefixFrom(a, 128)
			if _, twice := s.Ends[p]; twice {
				continue
			}
			s.Addresses = append(s.Addresses, p)
			s.Ends[p] = end{preferred: endsAt(now, o.PreferredLifetime), valid: endsAt(now, o.ValidLifetime)}
		}
	}
	for _, ip := range m.Options.DNS() {
		if a, ok := netip.AddrFromSlice(ip.To16()); ok && !a.IsUnspecified() && !a.IsMulticast() && !a.IsLinkLocalUnicast() {
			s.DNS = append(s.DNS, a)
		}
	}
	if l := m.Options.DomainSearchList(); l != nil {
		s.Search = domains(l.Labels...)
	}
	for _, ip := range slices.Concat(m.Options.NTPServers(), m.Options.SNTP()) {
		if a, ok := netip.AddrFromSlice(ip.To16()); ok && a.IsGlobalUnicast() && !slices.Contains(s.NTP, a.String()) {
			s.NTP = append(s.NTP, a.String())
		}
	}
	return s
}

func endsAt(now time.Time, life time.Duration) time.Time {
	if life >= forEver {
		return time.Time{}
	}
	return now.Add(life)
}

// times6 returns a lease's times, with RFC 8415's advice (0.5 and 0.8 of the shortest preferred
// lifetime) for those that the server leaves to us or that make no sense.
func times6(m *dhcpv6.Message) times {
	shortest, valid := time.Duration(maxLifetime), time.Duration(maxLifetime)
	t := times{}
	for _, ia := range m.Options.IANA() {
		for _, o := range ia.Options.Addresses() {
			if o.ValidLifetime > 0 {
				shortest, valid = min(shortest, max(o.PreferredLifetime, 0)), min(valid, o.ValidLifetime)
			}
		}
		t.renew, t.rebind = ia.T1, ia.T2
	}
	t.lease = max(valid, 10*time.Second) // less would be a storm of our own
	if shortest == 0 {
		shortest = t.lease
	}
	if t.rebind <= 0 || t.rebind >= t.lease {
		t.rebind = min(shortest/10*8, t.lease/8*7)
	}
	if t.renew <= 0 || t.renew >= t.rebind {
		t.renew = min(shortest/2, t.rebind/8*5)
	}
	t.renew = max(t.renew, 3*time.Second)
	t.rebind = max(t.rebind, t.renew)
	return t
}
