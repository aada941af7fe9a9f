package network

import (
	"context"
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"imgbuild/init/base/guard"
)

// The kernel forms addresses and routes from router advertisements and passes on what it does not
// act on itself: the options with name servers and search domains (RFC 8106), as RTM_NEWNDUSEROPT.

// advert is the names of one advertisement. A lifetime of 0 takes back earlier ones.
type advert struct {
	index  int // of the interface
	dns    map[netip.Addr]time.Duration
	search map[string]time.Duration
}

// advertised is what an interface's routers announced, and until when it holds.
type advertised struct {
	dns    map[netip.Addr]time.Time
	search map[string]time.Time
}

// forEver is how RFC 8106 writes a lifetime without an end; the year 2106 is as good.
const forEver = 0xffffffff * time.Second

// maxAdvertised bounds what a hostile neighbour can have us remember.
const maxAdvertised = 16

// take adds an advertisement.
func (a advertised) take(n advert, now time.Time) advertised {
	return advertised{takeOne(a.dns, n.dns, now), takeOne(a.search, n.search, now)}
}

func takeOne[K comparable](old map[K]time.Time, news map[K]time.Duration, now time.Time) map[K]time.Time {
	out := map[K]time.Time{}
	for k, until := range old {
		if until.After(now) {
			out[k] = until
		}
	}
	for k, life := range news {
		if life == 0 {
			delete(out, k)
		} else if _, have := out[k]; have || len(out) < maxAdvertised {
			out[k] = now.Add(life)
		}
	}
	return out
}

// next returns the moment at which something ends; ok is false when there is nothing.
func (a advertised) next() (at time.Time, ok bool) {
	see := func(t time.Time) {
		if !ok || t.Before(at) {
			at, ok = t, true
		}
	}
	for _, t := range a.dns {
		see(t)
	}
	for _, t := range a.search {
		see(t)
	}
	return at, ok
}

// servers returns the name servers that hold now, in a fixed order.
func (a advertised) servers() []netip.Addr {
	var list []netip.Addr
	for ip, until := range a.dns {
		if until.After(time.Now()) {
			list = append(list, ip)
		}
	}
	slices.SortFunc(list, netip.Addr.Compare)
	return list
}

// domains returns the search domains that hold now, in a fixed order.
func (a advertised) domains() []string {
	var list []string
	for d, until := range a.search {
		if until.After(time.Now()) {
			list = append(list, d)
		}
	}
	slices.Sort(list)
	return list
}

// parseAdvert reads the body of RTM_NEWNDUSEROPT (struct nduseroptmsg, linux/rtnetlink.h); ok is
// false when it has no names.
func parseAdvert(b []byte) (n advert, ok bool) {
	const head = 16
	if len(b) < head || b[0] != unix.AF_INET6 {
		return n, false
	}
	n = advert{index: int(int32(binary.NativeEndian.Uint32(b[4:]))), dns: map[netip.Addr]time.Duration{}, search: map[string]time.Duration{}}
	options := b[head:]
	if size := int(binary.NativeEndian.Uint16(b[2:])); size < len(options) {
		options = options[:size]
	}
	for len(options) >= 8 {
		size := int(options[1]) * 8
		if size == 0 || size > len(options) {
			break
		}
		life := time.Duration(binary.BigEndian.Uint32(options[4:])) * time.Second
		body := options[8:size]
		switch options[0] {
		case 25:
			for ; len(body) >= 16; body = body[16:] {
				ip, _ := netip.AddrFromSlice(body[:16])
				if !ip.IsUnspecified() && !ip.IsMulticast() && !ip.IsLoopback() {
					n.dns[ip] = life
				}
			}
		case 31:
			for _, d := range domains(wireNames(body)...) {
				n.search[d] = life
			}
		}
		options = options[size:]
	}
	return n, len(n.dns)+len(n.search) > 0
}

// wireNames reads domain names in DNS' form (RFC 1035, 3.1, without compression), with zeros after
// the last.
func wireNames(b []byte) (names []string) {
	var labels []string
	for len(b) > 0 {
		n := int(b[0])
		if n == 0 {
			if len(labels) > 0 {
				names = append(names, strings.Join(labels, "."))
			}
			labels, b = nil, b[1:]
			continue
		}
		if n > 63 || n >= len(b) {
			break
		}
		labels, b = append(labels, string(b[1:1+n])), b[1+n:]
	}
	return names
}

// watchRA receives what routers advertise about names, for as long as the program runs.
func (m *Manager) watchRA(ctx context.Context) {
	s, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_ND_USEROPT)
	if err != nil {
		m.say("network: name servers of router advertisements are not received: %v", err)
		return
	}
	defer s.Close()
	for ctx.Err() == nil {
		msgs, _, err := s.Receive()
		if err != nil {
			pause(ctx, time.Second) // more than fits, or a signal: the routers run it again
			continue
		}
		for _, msg := range msgs {
			if msg.Header.Type != unix.RTM_NEWNDUSEROPT {
				continue
			}
			if n, ok := parseAdvert(msg.Data); ok {
				m.advertise(n)
			}
		}
	}
}

// advertise notes what a router announced, and looks again when it ends.
func (m *Manager) advertise(n advert) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.links[n.index]
	if l == nil {
		return
	}
	s, run := m.status[l.name]
	if !run {
		return
	}
	dns := map[netip.Addr]time.Duration{}
	for ip, life := range n.dns {
		if ip.IsLinkLocalUnicast() {
			ip = ip.WithZone(l.name)
		}
		dns[ip] = life
	}
	n.dns = dns
	s.ra = s.ra.take(n, time.Now())
	m.status[l.name] = s
	m.writeResolvConf()
	if m.ending != nil {
		m.ending.Stop()
	}
	var at time.Time
	for _, s := range m.status {
		if t, ok := s.ra.next(); ok && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	if !at.IsZero() && time.Until(at) < forEver/2 {
		m.ending = time.AfterFunc(time.Until(at)+time.Second, func() {
			defer guard.Catch()
			m.mu.Lock()
			defer m.mu.Unlock()
			m.writeResolvConf()
		})
	}
}
