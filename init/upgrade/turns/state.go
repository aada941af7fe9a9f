// Package turns has the nodes of a cluster upgrade themselves one at a time. A server's shelf keeps
// who is at it (this file, pure functions of a state), over HTTPS with the certificates that k3s
// gives its nodes (serve.go, client.go).
package turns

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"imgbuild/init/base/turn"
)

// What a node asks or reports.
const (
	Look       = "look"        // what it runs and wants
	Take       = "take"        // the turn to upgrade to Version
	Renew      = "renew"       // it is still writing
	Committed  = "committed"   // it runs Version, for good
	RolledBack = "rolled back" // from Version, with Blame
	Released   = "released"    // it has not rebooted, and gives the turn back
)

// Blames of a rollback, as the ledger has them.
const (
	Open     = "open"
	Own      = "own"
	External = "external"
)

// Request is what a node sends. Its name is in its certificate.
type Request struct {
	Do       string `json:"do"`
	Role     string `json:"role"`
	Running  string `json:"running"`            // version that it runs
	Wants    string `json:"wants,omitempty"`    // version that it would upgrade to if it might
	Version  string `json:"version,omitempty"`  // of all but Look
	Deadline int64  `json:"deadline,omitempty"` // of Take and Renew: seconds that its trial has
	Blame    string `json:"blame,omitempty"`    // of RolledBack
	Reason   string `json:"reason,omitempty"`   // likewise, for people
	At       int64  `json:"at,omitempty"`       // likewise: when the attempt ended, which distinguishes reports
}

// Answer is what it gets.
type Answer struct {
	Granted bool              `json:"granted"`
	Until   time.Time         `json:"until,omitzero"`
	Wait    string            `json:"wait,omitempty"`    // why not, if it may ask again
	Stopped map[string]string `json:"stopped,omitempty"` // versions that nobody upgrades to, with the reason
}

// Lease is the turn of a node.
type Lease struct {
	Node    string    `json:"node"`
	Version string    `json:"version"`
	Since   time.Time `json:"since"`
	Until   time.Time `json:"until"`
	Seconds int64     `json:"seconds"` // that a renewal gives it
	Settles bool      `json:"settles,omitempty"`
}

// Node is what is known of a node.
type Node struct {
	Role    string    `json:"role"`
	Running string    `json:"running"`
	Wants   string    `json:"wants,omitempty"`
	Seen    time.Time `json:"seen"`
}

// Version is what is known of a version that was rolled back.
type Version struct {
	External int              `json:"external,omitempty"` // rollbacks that something from outside is to blame for
	Stopped  string           `json:"stopped,omitempty"`  // why nobody upgrades to it
	At       time.Time        `json:"at"`
	Reports  map[string]int64 `json:"reports,omitempty"` // the newest one of each node, by its At
}

// State is all that a server keeps.
type State struct {
	Lease    *Lease             `json:"lease,omitempty"`
	Nodes    map[string]Node    `json:"nodes,omitempty"`
	Versions map[string]Version `json:"versions,omitempty"`

	// Known is since when somebody wants a version.
	Known map[string]time.Time `json:"known,omitempty"`
}

const (
	// Extra is how long after a trial's deadline a turn ends: for the reboot and the report.
	Extra = 10 * time.Minute
	// Grace is how long a server that has just started waits for reports that could not reach it.
	Grace = 10 * time.Minute
	// Settle is how long a version is known before others than servers take it: longer than the
	// time between two looks of a node, so that servers have reported that they want it, or theirs.
	Settle = time.Hour
	// fresh is how old the report of a node may be that others wait for.
	fresh = 2 * time.Hour

	maxNodes    = 512
	maxVersions = 64
	maxDeadline = 2 * time.Hour
)

// ranks is the order of roles.
var ranks = map[string]int{"server": 0, "worker": 1, "storage": 2, "router": 3}

func rankOf(role string) int {
	if r, ok := ranks[role]; ok {
		return r
	}
	return len(ranks)
}

// Handle answers the request of a node. began is when the server started: what it did not hear
// before counts only some time after that. changed reports whether the state has to be kept before
// the answer is sent.
func (s *State) Handle(node string, r Request, now, began time.Time) (a Answer, changed bool) {
	changed = s.Expire(now, began)
	if s.Nodes == nil {
		s.Nodes = map[string]Node{}
	}
	was, known := s.Nodes[node]
	is := Node{Role: r.Role, Running: r.Running, Wants: was.Wants, Seen: now}
	switch r.Do {
	case Look:
		is.Wants = r.Wants
	case Take:
		is.Wants = r.Version
	case Committed:
		is.Wants = ""
	}
	if was.Seen = now; known && was != is || !known {
		changed = true
	}
	s.Nodes[node] = is
	s.prune(now)
	for _, version := range []string{r.Wants, r.Version} {
		changed = s.know(version, now) || changed
	}
	switch r.Do {
	case Take:
		if a = s.take(node, r, now); a.Granted {
			changed = true
		}
	case Renew:
		if l := s.mine(node, r.Version); l != nil {
			l.Until, changed = now.Add(l.span()), true
			a.Granted, a.Until = true, l.Until
		} else {
			a.Wait = "the turn is over"
		}
	case Committed:
		if r.Running == r.Version && s.mine(node, r.Version) != nil {
			s.Lease, changed = nil, true
		}
	case Released:
		if s.mine(node, r.Version) != nil {
			s.Lease, changed = nil, true
		}
	case RolledBack:
		changed = s.rolledBack(node, r, now) || changed
	}
	a.Stopped = s.stopped()
	return a, changed
}

func (l *Lease) span() time.Duration { return time.Duration(l.Seconds) * time.Second }

// mine is the lease if the node has it for a version.
func (s *State) mine(node, version string) *Lease {
	if l := s.Lease; l != nil && l.Node == node && l.Version == version {
		return l
	}
	return nil
}

func (s *State) take(node string, r Request, now time.Time) Answer {
	if why := s.Versions[r.Version].Stopped; why != "" || r.Version == "" {
		return Answer{Wait: why}
	}
	if l := s.Lease; l != nil && s.mine(node, r.Version) == nil {
		if l.Node == node {
			return Answer{Wait: fmt.Sprintf("it has not reported what became of its upgrade to %s", l.Version)}
		}
		return Answer{Wait: fmt.Sprintf("%s upgrades to %s, until %s at the latest", l.Node, l.Version, l.Until.UTC().Format("15:04 UTC"))}
	}
	if wait := Settle - now.Sub(s.Known[r.Version]); rankOf(r.Role) > 0 && wait > 0 {
		return Answer{Wait: fmt.Sprintf("servers have %s more to say whether they upgrade first", wait.Round(time.Minute))}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Nodes)) {
		n := s.Nodes[name]
		if name != node && rankOf(n.Role) < rankOf(r.Role) && n.Wants != "" && now.Sub(n.Seen) < fresh && s.Versions[n.Wants].Stopped == "" {
			return Answer{Wait: fmt.Sprintf("%s, a %s, is to upgrade first", name, n.Role)}
		}
	}
	l := &Lease{Node: node, Version: r.Version, Since: now, Seconds: int64((min(max(0, time.Duration(r.Deadline)*time.Second), maxDeadline) + Extra) / time.Second)}
	if have := s.mine(node, r.Version); have != nil {
		l.Since = have.Since
	}
	l.Until = now.Add(l.span())
	s.Lease = l
	return Answer{Granted: true, Until: l.Until}
}

// know notes since when a version is wanted.
func (s *State) know(version string, now time.Time) bool {
	since, known := s.Known[version]
	if version == "" || known && !since.After(now) {
		return false
	}
	if s.Known == nil {
		s.Known = map[string]time.Time{}
	}
	s.Known[version] = now
	for len(s.Known) > maxVersions {
		oldest := ""
		for name, since := range s.Known {
			if oldest == "" || since.Before(s.Known[oldest]) || since.Equal(s.Known[oldest]) && name < oldest {
				oldest = name
			}
		}
		delete(s.Known, oldest)
	}
	return true
}

// rolledBack takes the report of a node, whether it had a turn or was upgraded by hand.
func (s *State) rolledBack(node string, r Request, now time.Time) bool {
	l := s.mine(node, r.Version)
	if r.Blame == Open { // it looks whether the system before fails the same checks
		if l == nil || l.Settles {
			return false
		}
		l.Settles, l.Until = true, now.Add(l.span())
		return true
	}
	v := s.Versions[r.Version]
	if r.Version == "" || v.Reports[node] >= r.At && r.At != 0 {
		if l != nil {
			s.Lease = nil
		}
		return l != nil
	}
	v.At, v.Reports = now, maps.Clone(v.Reports)
	if v.Reports == nil {
		v.Reports = map[string]int64{}
	}
	v.Reports[node] = r.At
	switch {
	case r.Blame == External && v.External == 0:
		v.External = 1
	case v.Stopped == "" && r.Blame == External:
		v.External++
		v.Stopped = fmt.Sprintf("it was rolled back for something from outside twice, last by %s: %s", node, r.Reason)
	case v.Stopped == "":
		v.Stopped = fmt.Sprintf("%s rolled it back: %s", node, r.Reason)
	}
	s.set(r.Version, v)
	if l != nil {
		s.Lease = nil
	}
	return true
}

func (s *State) set(version string, v Version) {
	if s.Versions == nil {
		s.Versions = map[string]Version{}
	}
	s.Versions[version] = v
	for len(s.Versions) > maxVersions {
		oldest := ""
		for name, v := range s.Versions {
			if oldest == "" || v.At.Before(s.Versions[oldest].At) || v.At.Equal(s.Versions[oldest].At) && name < oldest {
				oldest = name
			}
		}
		delete(s.Versions, oldest)
	}
}

// Expire ends a turn whose time is over: its version is stopped. A server that has just started
// waits for the report first. It reports whether the state has changed.
func (s *State) Expire(now, began time.Time) bool {
	l := s.Lease
	if l == nil {
		return false
	}
	if !turn.Credible(l.Until, now, l.span()) { // given with a wrong clock
		l.Until = now.Add(l.span())
		return true
	}
	if !now.After(l.Until) || now.Sub(began) < Grace {
		return false
	}
	v := s.Versions[l.Version]
	if v.At = now; v.Stopped == "" {
		v.Stopped = fmt.Sprintf("%s did not report in time that it has committed it", l.Node)
	}
	s.set(l.Version, v)
	s.Lease = nil
	return true
}

// Resume lets nodes upgrade to what was stopped, and gives those versions. A turn goes on.
func (s *State) Resume() (versions []string) {
	for name, v := range s.Versions {
		if v.Stopped != "" {
			versions = append(versions, name)
		}
	}
	slices.Sort(versions)
	for _, name := range versions {
		v := s.Versions[name]
		v.Stopped, v.External = "", 0
		s.Versions[name] = v
	}
	return versions
}

// Begin is called once when a server starts: a node that could not reach it counts as seen now.
func (s *State) Begin(now time.Time) {
	for name, n := range s.Nodes {
		n.Seen = now
		s.Nodes[name] = n
	}
}

func (s *State) stopped() map[string]string {
	list := map[string]string{}
	for name, v := range s.Versions {
		if v.Stopped != "" {
			list[name] = v.Stopped
		}
	}
	return list
}

// prune forgets the nodes that were seen longest ago, where there are too many.
func (s *State) prune(now time.Time) {
	for len(s.Nodes) > maxNodes {
		oldest := ""
		for name, n := range s.Nodes {
			if oldest == "" || n.Seen.Before(s.Nodes[oldest].Seen) || n.Seen.Equal(s.Nodes[oldest].Seen) && name < oldest {
				oldest = name
			}
		}
		delete(s.Nodes, oldest)
	}
	for name, n := range s.Nodes {
		if now.Sub(n.Seen) > 30*24*time.Hour {
			delete(s.Nodes, name)
		}
	}
}
