// Package advert decides what a router in mode proxy-arp advertises on the shelf (RFC 4861): the
// uplink's networks of IPv6, as not on the link, so that boards send everything to the router.
package advert

import (
	"net/netip"
	"slices"
	"time"

	"imgbuild/init/router/frame"
)

// Network is one in which boards have addresses, until its times have passed.
type Network struct {
	Net       netip.Prefix `json:"net"` // a /64
	Preferred time.Time    `json:"preferred"`
	Valid     time.Time    `json:"valid"`
}

// Times. Lifetimes are at most those of RFC 9096: after a change of the uplink boards do not go on
// for long with what is over.
const (
	maxPreferred = 45 * time.Minute
	maxValid     = 90 * time.Minute
	lifetime     = 30 * time.Minute // of the router as the way out
	over         = 2 * time.Hour    // so long a network is advertised as over: RFC 4862, 5.5.3
	every        = 3 * time.Minute
	first        = 16 * time.Second // between those after a change
	after        = 3                // so many of them
	least        = 3 * time.Second  // between two to all
	keep         = time.Hour        // the times on the disk are at most so old
)

// Adverts is the state. It is for one goroutine.
type Adverts struct {
	list    []Network
	sent    time.Time // to all
	next    time.Time // the next to all; the zero time: none
	quick   int       // of those after a change, how many are left
	kept    time.Time
	changed bool
}

// maxNetworks bounds what a hostile neighbour can have us advertise.
const maxNetworks = 8

// Set takes the networks that the uplink has. Those that it has no longer are over, unless it has
// none at all: then it is away, and boards go on with what they have.
func (a *Adverts) Set(uplink []Network, now time.Time) {
	news := false
	has := func(list []Network, p netip.Prefix) int {
		return slices.IndexFunc(list, func(n Network) bool { return n.Net == p })
	}
	for _, n := range uplink[:min(len(uplink), maxNetworks)] {
		i := has(a.list, n.Net)
		if old := slices.IndexFunc(a.list, func(o Network) bool { return has(uplink, o.Net) < 0 }); i < 0 && len(a.list) >= maxNetworks && old >= 0 {
			a.list = slices.Delete(a.list, old, old+1)
		}
		switch {
		case i < 0 && len(a.list) < maxNetworks:
			a.list = append(a.list, n)
			news = true
		case i >= 0:
			news = news || a.list[i].Preferred.After(now) != n.Preferred.After(now)
			a.list[i] = n
		}
	}
	a.list = slices.DeleteFunc(a.list, func(n Network) bool {
		gone := !n.Valid.After(now)
		news = news || gone
		return gone
	})
	for i, n := range a.list {
		if len(uplink) == 0 || has(uplink, n.Net) >= 0 {
			continue
		}
		if n.Preferred.After(now) {
			a.list[i].Preferred = now
			news = true
		}
		if end := a.list[i].Preferred.Add(over); n.Valid.After(end) {
			a.list[i].Valid = end
		}
	}
	if len(uplink) > 0 && now.Sub(a.kept) >= keep {
		a.changed, a.kept = true, now
	}
	if news {
		slices.SortFunc(a.list, func(x, y Network) int { return x.Net.Compare(y.Net) })
		a.changed, a.quick = true, after
		a.soon(now)
	}
}

// soon has the next advertisement to all come as soon as it may.
func (a *Adverts) soon(now time.Time) {
	at := now
	if earliest := a.sent.Add(least); earliest.After(now) {
		at = earliest
	}
	if a.next.IsZero() || at.Before(a.next) {
		a.next = at
	}
}

// Networks returns the networks that hold now.
func (a *Adverts) Networks(now time.Time) (list []netip.Prefix) {
	for _, n := range a.list {
		if n.Valid.After(now) {
			list = append(list, n.Net)
		}
	}
	return list
}

// Local are the addresses of the router on the shelf.
type Local struct {
	MAC  frame.MAC
	Addr netip.Addr // link-local
}

// Tick returns the advertisement to all that is due.
func (a *Adverts) Tick(from Local, now time.Time) (frame.Advert, bool) {
	if a.next.IsZero() || a.next.After(now) || !from.Addr.IsValid() {
		return frame.Advert{}, false
	}
	a.sent, a.next = now, now.Add(every)
	if a.quick > 0 {
		a.quick--
		a.next = now.Add(first)
	} else if len(a.list) == 0 {
		a.next = time.Time{}
	}
	return a.make(from, frame.AllNodes, frame.GroupMAC(frame.AllNodes), now), true
}

// Asked answers a board that asks for routers: directly, or soon to all where it has no address.
func (a *Adverts) Asked(n frame.ND, from Local, now time.Time) (frame.Advert, bool) {
	switch {
	case len(a.list) == 0 || !from.Addr.IsValid():
		return frame.Advert{}, false
	case n.Src.IsUnspecified():
		a.soon(now)
		return frame.Advert{}, false
	}
	return a.make(from, n.Src, n.From, now), true
}

func (a *Adverts) make(from Local, to netip.Addr, mac frame.MAC, now time.Time) frame.Advert {
	ad := frame.Advert{From: from.MAC, To: mac, Src: from.Addr, Dst: to}
	for _, n := range a.list {
		ad.Lifetime = uint16(lifetime / time.Second)
		ad.Prefixes = append(ad.Prefixes, frame.Prefix{Net: n.Net, Preferred: left(n.Preferred, maxPreferred, now), Valid: left(n.Valid, maxValid, now)})
	}
	return ad
}

// left is a time to come in seconds.
func left(until time.Time, most time.Duration, now time.Time) uint32 {
	return uint32(min(max(until.Sub(now), 0), most) / time.Second)
}

// Save returns what is to be kept, and whether that has changed since the last call.
func (a *Adverts) Save() (list []Network, changed bool) {
	changed = a.changed
	a.changed = false
	return slices.Clone(a.list), changed
}

// Load takes what was kept.
func (a *Adverts) Load(list []Network, now time.Time) {
	for _, n := range list {
		if n.Net.Bits() == 64 && n.Net.Addr().Is6() && n.Valid.After(now) && len(a.list) < maxNetworks {
			a.list = append(a.list, n)
		}
	}
	if len(a.list) > 0 {
		a.quick = after
		a.soon(now)
	}
}
