package network

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Kind is what an Op does.
type Kind uint8

// The changes that an interface may need, in the order in which a plan has them: first what is new,
// then away with what is not wanted any more, so that a connection survives a change of what it
// does not use; then once more what may have gone along with that.
const (
	SetMTU Kind = iota
	AddAddress
	AddRoute
	DelRoute
	DelAddress
)

// Op is one change of an interface.
type Op struct {
	Kind     Kind
	MTU      int
	Address  netip.Prefix
	Lifetime time.Duration // of Address; 0 is for ever
	Prefer   time.Duration // how long it is used for new connections; 0 is for as long as Lifetime
	Route    Route
}

// String is the change as one line for people.
func (o Op) String() string {
	switch o.Kind {
	case SetMTU:
		return fmt.Sprintf("mtu %d", o.MTU)
	case AddAddress:
		return fmt.Sprintf("address %s", o.Address)
	case AddRoute:
		return fmt.Sprintf("route to %s", o.Route.To)
	case DelRoute:
		return fmt.Sprintf("removing the route to %s", o.Route.To)
	}
	return fmt.Sprintf("removing the address %s", o.Address)
}

// plan returns the way from what an interface has to what it is to have. has is the kernel's state,
// ours what an earlier plan put there: addresses and routes of others, such as the shared address
// of a cluster, are none of our business. An address with a lifetime is always set again, for that
// is how a lease is prolonged. An empty plan means that nothing is to be done; carrying a plan out
// and planning again gives no more than those prolongations.
func plan(ours, has, want State) []Op {
	var ops []Op
	if want.MTU != 0 && has.MTU != want.MTU {
		ops = append(ops, Op{Kind: SetMTU, MTU: want.MTU})
	}
	for i, p := range want.Addresses {
		life := want.lifetime(p)
		if slices.Index(want.Addresses, p) == i && (life != 0 || ours.lifetime(p) != 0 || !slices.Contains(has.Addresses, p)) {
			ops = append(ops, Op{Kind: AddAddress, Address: p, Lifetime: life, Prefer: want.prefer(p)})
		}
	}
	// A removed address takes its routes with it, and those of a network whose first address goes:
	// they are put back.
	lost := slices.ContainsFunc(ours.Addresses, func(p netip.Prefix) bool {
		return !slices.Contains(want.Addresses, p) && slices.Contains(has.Addresses, p)
	})
	routes := order(want.Routes)
	for _, r := range routes {
		if !slices.Contains(has.Routes, r) {
			ops = append(ops, Op{Kind: AddRoute, Route: r})
		}
	}
	for _, r := range slices.Backward(order(ours.Routes)) {
		if !slices.Contains(want.Routes, r) && slices.Contains(has.Routes, r) {
			ops = append(ops, Op{Kind: DelRoute, Route: r})
		}
	}
	for _, p := range ours.Addresses {
		if !slices.Contains(want.Addresses, p) && slices.Contains(has.Addresses, p) {
			ops = append(ops, Op{Kind: DelAddress, Address: p})
		}
	}
	for i, p := range want.Addresses {
		// The kernel takes the further addresses of a network away with its first one, unless
		// promote_secondaries is set.
		if slices.Index(want.Addresses, p) == i && slices.ContainsFunc(ops, func(o Op) bool { return o.Kind == DelAddress && o.Address.Masked() == p.Masked() }) {
			ops = append(ops, Op{Kind: AddAddress, Address: p, Lifetime: want.lifetime(p), Prefer: want.prefer(p)})
		}
	}
	if lost {
		for _, r := range routes {
			ops = append(ops, Op{Kind: AddRoute, Route: r})
		}
	}
	return ops
}

// order puts routes directly on the link before those that need them to reach their gateway, each
// once.
func order(list []Route) []Route {
	var out []Route
	for _, r := range list {
		if !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	slices.SortStableFunc(out, func(a, b Route) int { return cmp.Compare(rank(a), rank(b)) })
	return out
}

func rank(r Route) int {
	if r.Via.IsValid() {
		return 1
	}
	return 0
}

// prefer returns how long an address is used for new connections, 0 for as long as it stays.
func (s State) prefer(p netip.Prefix) time.Duration {
	if e, ok := s.Ends[p]; ok && !e.preferred.IsZero() {
		return max(time.Until(e.preferred), time.Second)
	}
	return 0
}

// lifetime returns how long an address is to stay; 0 is for ever.
func (s State) lifetime(p netip.Prefix) time.Duration {
	if e, ok := s.Ends[p]; ok && !e.valid.IsZero() {
		return max(time.Until(e.valid), time.Second)
	}
	if slices.Contains(s.Leased, p) {
		return s.Lifetime
	}
	return 0
}
