package network

import (
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"imgbuild/init/base/guard"
)

// watchAddresses follows the kernel's news about IPv6 addresses: those that it forms from router
// advertisements count as the interface's like any other.
func (m *Manager) watchAddresses(ctx context.Context) {
	for ctx.Err() == nil {
		news := make(chan netlink.AddrUpdate, 16)
		stop := make(chan struct{})
		m.mu.Lock()
		m.formed, m.local = map[int]map[netip.Prefix]bool{}, map[int]netip.Prefix{}
		m.mu.Unlock()
		err := netlink.AddrSubscribeWithOptions(news, stop, netlink.AddrSubscribeOptions{ListExisting: true, ErrorCallback: func(err error) {
			if !errors.Is(err, netlink.ErrDumpInterrupted) {
				m.say("network: news about addresses: %v", err)
			}
		}})
		if err != nil {
			m.say("network: %v", err)
			close(stop)
			pause(ctx, time.Second)
			continue
		}
		for open := true; open; {
			select {
			case u, ok := <-news:
				if open = ok; ok {
					m.handleAddress(u)
				}
			case <-ctx.Done():
				open = false
			}
		}
		close(stop)
		guard.Go(func() {
			for range news { // until the subscription has noticed
			}
		})
		pause(ctx, 100*time.Millisecond)
	}
}

// handleAddress takes one piece of news. An address counts when the kernel has found that no other
// machine has it.
func (m *Manager) handleAddress(u netlink.AddrUpdate) {
	p := prefixOf(&u.LinkAddress)
	if p.IsValid() && p.Addr().Is6() && p.Addr().IsLinkLocalUnicast() {
		m.handleLocal(u.LinkIndex, p, u.NewAddr && u.Flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) == 0)
		return
	}
	if !p.IsValid() || p.Addr().Is4() || !p.Addr().IsGlobalUnicast() {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.formed[u.LinkIndex] == nil {
		m.formed[u.LinkIndex] = map[netip.Prefix]bool{}
	}
	if !u.NewAddr || u.Flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) != 0 {
		delete(m.formed[u.LinkIndex], p)
	} else {
		m.formed[u.LinkIndex][p] = true
	}
	l := m.links[u.LinkIndex]
	if l == nil || l.set0 == nil {
		return
	}
	if m.count(l) {
		m.writeResolvConf()
		m.wake()
		if s := m.status[l.name]; len(s.Addresses) > 0 {
			m.say("network %s", s)
		}
	}
}

// handleLocal notes the link-local address of an interface, or that one is gone.
func (m *Manager) handleLocal(index int, p netip.Prefix, usable bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch had := m.local[index]; {
	case usable && had != p:
		m.local[index] = p
	case !usable && had == p:
		delete(m.local, index)
	default:
		return
	}
	if l := m.links[index]; l != nil && l.set0 != nil {
		m.wake()
	}
}

// count puts together the addresses that an interface has by us and by the kernel, and reports
// whether that is a change. mu is held.
func (m *Manager) count(l *link) (changed bool) {
	s, run := m.status[l.name]
	if !run {
		return false
	}
	all := slices.Clone(s.State.Addresses)
	if s.Port == "" {
		for _, p := range slices.SortedFunc(maps.Keys(m.formed[l.index]), netip.Prefix.Compare) {
			if !slices.ContainsFunc(all, func(o netip.Prefix) bool { return o.Addr() == p.Addr() }) {
				all = append(all, p)
			}
		}
	}
	changed = !slices.Equal(all, s.Addresses)
	s.Addresses, s.formed = all, len(all) > len(s.State.Addresses)
	m.status[l.name] = s
	return changed
}

// The kernel's flags of an interface (linux/if_link.h, IFLA_INET6_FLAGS; net/if_inet6.h).
const (
	inet6Flags    = 1    // the attribute's number
	raManaged     = 0x40 // IF_RA_MANAGED
	raOtherConfig = 0x80 // IF_RA_OTHERCONF
)

// watchFlags follows what routers ask machines to do about DHCPv6.
func (m *Manager) watchFlags(ctx context.Context) {
	s, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_IPV6_IFINFO)
	if err != nil {
		m.say("network: it is unknown whether routers ask for DHCPv6: %v", err)
		return
	}
	defer s.Close()
	dump := func() {
		req := nl.NewNetlinkRequest(unix.RTM_GETLINK, unix.NLM_F_DUMP)
		req.AddData(nl.NewIfInfomsg(unix.AF_INET6))
		msgs, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWLINK)
		if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
			return // IPv6 is switched off
		}
		for _, b := range msgs {
			m.handleFlags(b)
		}
	}
	dump()
	for ctx.Err() == nil {
		msgs, _, err := s.Receive()
		if err != nil {
			pause(ctx, time.Second) // more than fits, or a signal
			dump()
			continue
		}
		for _, msg := range msgs {
			if msg.Header.Type == unix.RTM_NEWLINK {
				m.handleFlags(msg.Data)
			}
		}
	}
}

// handleFlags reads the body of an RTM_NEWLINK of AF_INET6.
func (m *Manager) handleFlags(b []byte) {
	index, flags, ok := parseFlags(b)
	if !ok {
		return
	}
	mode := noDHCP6
	switch {
	case flags&raManaged != 0:
		mode = stateful
	case flags&raOtherConfig != 0:
		mode = namesOnly
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.asked6[index] == mode {
		return
	}
	m.asked6[index] = mode
	if l := m.links[index]; l != nil {
		l.poke6()
	}
}

// parseFlags returns the interface and its flags; ok is false when the message has none.
func parseFlags(b []byte) (index int, flags uint32, ok bool) {
	if len(b) < unix.SizeofIfInfomsg || b[0] != unix.AF_INET6 {
		return 0, 0, false
	}
	index = int(nl.DeserializeIfInfomsg(b).Index)
	attrs, err := nl.ParseRouteAttr(b[unix.SizeofIfInfomsg:])
	if err != nil {
		return 0, 0, false
	}
	for _, a := range attrs {
		if a.Attr.Type&^unix.NLA_F_NESTED != unix.IFLA_PROTINFO {
			continue
		}
		inner, err := nl.ParseRouteAttr(a.Value)
		if err != nil {
			return 0, 0, false
		}
		for _, f := range inner {
			if f.Attr.Type == inet6Flags && len(f.Value) >= 4 {
				return index, binary.NativeEndian.Uint32(f.Value), true
			}
		}
	}
	return 0, 0, false
}
