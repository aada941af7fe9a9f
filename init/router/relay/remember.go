package relay

import (
	"cmp"
	"encoding/binary"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"imgbuild/init/router/frame"
)

// shortLease is how long an address may be used that the router itself confirms.
const shortLease = 5 * time.Minute

// remembered answers a client while the uplink is away, for an address that the client had from the
// server before, and never for another one. A server on the shelf has precedence.
func (r *Relay) remembered(m message, f Facts) []Step {
	l, has := r.leases[m.mac]
	for _, g := range r.rogues {
		has = has && f.Now.Sub(g.Last) > forget
	}
	if !has {
		return nil
	}
	kind := dhcpv4.MessageTypeAck
	switch {
	case m.kind == dhcpv4.MessageTypeDiscover:
		kind = dhcpv4.MessageTypeOffer
	case m.kind != dhcpv4.MessageTypeRequest, m.wanted() != l.IP, m.server().IsValid() && m.server() != l.Server:
		return nil
	}
	p, err := dhcpv4.FromBytes(l.ACK)
	if err != nil {
		return nil
	}
	p.UpdateOption(dhcpv4.OptMessageType(kind))
	p.UpdateOption(dhcpv4.OptIPAddressLeaseTime(shortLease))
	for _, code := range []dhcpv4.OptionCode{dhcpv4.OptionRenewTimeValue, dhcpv4.OptionRebindingTimeValue, dhcpv4.OptionRelayAgentInformation} {
		p.DeleteOption(code)
	}
	p.HopCount, p.GatewayIPAddr = 0, netip.IPv4Unspecified().AsSlice()
	p.YourIPAddr, p.ClientIPAddr = l.IP.AsSlice(), m.ClientIPAddr
	data := p.ToBytes()
	binary.BigEndian.PutUint32(data[offXID:], m.xid)
	binary.BigEndian.PutUint16(data[offFlags:], m.flags())
	var steps []Step
	if kind == dhcpv4.MessageTypeAck {
		if until := f.Now.Add(shortLease); until.After(l.Until) {
			l.Until = until
			r.leases[m.mac] = l // not worth a write: it is the same lease
		}
		steps = append(steps, Step{Kind: Bound, Lease: l})
	}
	return append(steps, r.down(data, l.Server, f))
}

// Saved is what outlives a restart.
type Saved struct {
	Forms  map[netip.Addr]Form `json:"forms,omitempty"`
	Leases []Lease             `json:"leases,omitempty"`
}

// Save returns what is to be kept, and whether that has changed since the last call.
func (r *Relay) Save() (Saved, bool) {
	changed := r.changed
	r.changed = false
	return Saved{maps.Clone(r.forms), r.Leases()}, changed
}

// Load takes what was kept.
func (r *Relay) Load(s Saved) {
	for a, form := range s.Forms {
		if form == Giaddr || form == Broadcast {
			r.forms[a], r.latest = form, form
		}
	}
	for _, l := range s.Leases {
		if l.IP.Is4() && len(r.leases) < maxLeases {
			r.leases[l.MAC] = l
		}
	}
}

// Leases returns the leases in use, by address.
func (r *Relay) Leases() []Lease {
	return slices.SortedFunc(maps.Values(r.leases), func(a, b Lease) int { return a.IP.Compare(b.IP) })
}

// Forms returns the form that each server answers.
func (r *Relay) Forms() map[netip.Addr]Form { return maps.Clone(r.forms) }

// Rogues are DHCP servers that were seen on the shelf in the last hour, by hardware address.
func (r *Relay) Rogues() []Rogue {
	return slices.SortedFunc(maps.Values(r.rogues), func(a, b Rogue) int { return cmp.Compare(a.MAC.String(), b.MAC.String()) })
}

// Deaf reports clients that nobody has answered although both forms were tried twice, by hardware
// address.
func (r *Relay) Deaf(f Facts) []frame.MAC {
	var list []frame.MAC
	for mac, w := range r.waiting {
		if w.tries >= 4 && f.online() && w.last.Sub(w.since) >= 15*time.Second {
			list = append(list, mac)
		}
	}
	slices.SortFunc(list, func(a, b frame.MAC) int { return cmp.Compare(a.String(), b.String()) })
	return list
}
