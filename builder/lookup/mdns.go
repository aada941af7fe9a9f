package lookup

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// Where mDNS is asked (RFC 6762, section 3).
var (
	group4 = net.IPv4(224, 0, 0, 251)
	group6 = net.ParseIP("ff02::fb")
)

// gather is how long further addresses are awaited after the first.
const gather = 150 * time.Millisecond

// ask asks everybody on the local networks who has the name.
func (f Finder) ask(ctx context.Context, name string) ([]string, error) {
	interfaces, err := f.Interfaces()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, f.Limit)
	defer cancel()
	q := &dns.Msg{Question: []dns.Question{{Name: name + ".", Qtype: dns.TypeA, Qclass: dns.ClassINET}, {Name: name + ".", Qtype: dns.TypeAAAA, Qclass: dns.ClassINET}}}
	q.Id = uint16(rand.N(1<<16-1) + 1)
	packet, err := q.Pack()
	if err != nil {
		return nil, err
	}
	got := make(chan []netip.Addr, 16)
	var send []func()
	var errs []error
	for _, network := range []string{"udp4", "udp6"} {
		c, err := net.ListenPacket(network, ":0")
		if err != nil {
			errs = append(errs, err)
			continue
		}
		defer c.Close()
		go receive(c, q, got)
		send = append(send, func() { multicast(c, network == "udp4", interfaces, packet, f.Port) })
	}
	if len(send) == 0 {
		return nil, errors.Join(errs...)
	}
	var found []netip.Addr
	next := time.NewTimer(0) // questions at 0, 0.25, 0.75, 1.75 s
	defer next.Stop()
	pause := 250 * time.Millisecond
	for {
		select {
		case <-next.C:
			if len(found) > 0 {
				return order(found), nil
			}
			for _, s := range send {
				s()
			}
			next.Reset(pause)
			pause *= 2
		case list := <-got:
			for _, a := range list {
				if !slices.Contains(found, a) {
					found = append(found, a)
				}
			}
			if len(found) > 0 {
				next.Reset(gather)
			}
		case <-ctx.Done():
			if len(found) > 0 {
				return order(found), nil
			}
			return nil, fmt.Errorf("nobody in the local network answers to %s", name)
		}
	}
}

// multicast sends a packet out of every interface. One that cannot is passed over: it may lack this
// protocol.
func multicast(c net.PacketConn, four bool, interfaces []net.Interface, packet []byte, port int) {
	for _, i := range interfaces {
		if four {
			p := ipv4.NewPacketConn(c)
			if p.SetMulticastInterface(&i) == nil {
				_, _ = p.WriteTo(packet, nil, &net.UDPAddr{IP: group4, Port: port})
			}
			continue
		}
		p := ipv6.NewPacketConn(c)
		if p.SetMulticastInterface(&i) == nil {
			_, _ = p.WriteTo(packet, nil, &net.UDPAddr{IP: group6, Port: port, Zone: i.Name})
		}
	}
}

// receive hands on the addresses of answers to q until c is closed.
func receive(c net.PacketConn, q *dns.Msg, got chan<- []netip.Addr) {
	buf := make([]byte, 9000)
	for {
		n, from, err := c.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		udp, ok := from.(*net.UDPAddr)
		if err != nil || !ok {
			continue
		}
		if list := addresses(buf[:n], q, udp.Zone); len(list) > 0 {
			select {
			case got <- list:
			default:
			}
		}
	}
}

// addresses reads the addresses of the name that q asks for out of an answer to it. A link-local
// one is worth something only with the interface that the answer came from, which zone names.
func addresses(packet []byte, q *dns.Msg, zone string) (list []netip.Addr) {
	m := &dns.Msg{}
	if m.Unpack(packet) != nil || !m.Response || m.Id != q.Id || m.Rcode != dns.RcodeSuccess {
		return nil
	}
	for _, rr := range slices.Concat(m.Answer, m.Extra) {
		if dns.CanonicalName(rr.Header().Name) != dns.CanonicalName(q.Question[0].Name) {
			continue
		}
		var ip net.IP
		switch v := rr.(type) {
		case *dns.A:
			ip = v.A
		case *dns.AAAA:
			ip = v.AAAA
		}
		a, ok := netip.AddrFromSlice(ip)
		if !ok {
			continue
		}
		if a = a.Unmap(); a.Is6() && a.IsLinkLocalUnicast() {
			if zone == "" {
				continue
			}
			a = a.WithZone(zone)
		}
		if !a.IsUnspecified() && !a.IsMulticast() {
			list = append(list, a)
		}
	}
	return list
}

// order puts IPv4 first, then addresses of IPv6 that work everywhere, then link-local ones, and
// makes texts of them.
func order(list []netip.Addr) (out []string) {
	rank := func(a netip.Addr) int {
		switch {
		case a.Is4() && !a.IsLinkLocalUnicast():
			return 0
		case !a.IsLinkLocalUnicast():
			return 1
		case a.Is6():
			return 2
		}
		return 3
	}
	slices.SortStableFunc(list, func(a, b netip.Addr) int { return rank(a) - rank(b) })
	for _, a := range list {
		out = append(out, a.String())
	}
	return out
}
