package mdns

import (
	"bytes"
	"slices"

	"github.com/miekg/dns"
)

// Verdict is what to do about a record or a probe of another machine.
type Verdict string

// The verdicts.
const (
	Ignore Verdict = "ignore" // it agrees with ours, or it is not about us
	Rename Verdict = "rename" // the name is taken
	Yield  Verdict = "yield"  // the other one probes at the same time and wins: wait a second, probe again
	Doubt  Verdict = "doubt"  // another machine uses a name that was ours: probe for it again
	Defend Verdict = "defend" // send ours, so that others keep or take it
)

// Claimed is a name of ours as the node that decides sees it.
type Claimed struct {
	Sure bool     // probed for, and announced
	Here []dns.RR // its records on the link that something came from
	All  []dns.RR // its records on every link of the node: a reflector brings those back too
}

// OnAnswer decides about a record of another machine's answer that has the name.
func (c Claimed) OnAnswer(theirs dns.RR) Verdict {
	kind := theirs.Header().Rrtype
	if kind == dns.TypeNSEC || kind == dns.TypeOPT {
		return Ignore
	}
	if i := slices.IndexFunc(c.All, func(o dns.RR) bool { return same(o, theirs) }); i >= 0 {
		// A goodbye, or a lifetime that runs out early, by somebody who repeats what we send.
		if c.Sure && theirs.Header().Ttl < c.All[i].Header().Ttl/2 && slices.ContainsFunc(c.Here, func(o dns.RR) bool { return same(o, theirs) }) {
			return Defend
		}
		return Ignore
	}
	switch {
	case theirs.Header().Ttl == 0:
		return Ignore // somebody takes the name back
	case !c.Sure:
		return Rename // the probe asked for every type
	case slices.ContainsFunc(c.All, func(o dns.RR) bool { return o.Header().Rrtype == kind }):
		return Doubt
	}
	return Ignore
}

// OnProbe decides about a probe for the name with these proposed records of it.
func (c Claimed) OnProbe(theirs []dns.RR) Verdict {
	ours := !slices.ContainsFunc(theirs, func(t dns.RR) bool {
		return !slices.ContainsFunc(c.All, func(o dns.RR) bool { return same(o, t) })
	})
	switch {
	case ours: // our own, reflected, or no record at all
		return Ignore
	case c.Sure:
		return Defend
	case Later(c.Here, theirs) < 0:
		return Yield
	}
	return Ignore
}

// Later compares the proposed records of two machines that probe for one name (section 8.2.1): 1 if
// a wins, -1 if b does, 0 if they are the same.
func Later(a, b []dns.RR) int {
	x, y := sorted(a), sorted(b)
	for i := range min(len(x), len(y)) {
		if c := bytes.Compare(x[i], y[i]); c != 0 {
			return c
		}
	}
	switch {
	case len(x) > len(y):
		return 1
	case len(x) < len(y):
		return -1
	}
	return 0
}

func sorted(list []dns.RR) [][]byte {
	var out [][]byte
	for _, rr := range list {
		out = append(out, data(rr))
	}
	slices.SortFunc(out, bytes.Compare)
	return out
}
