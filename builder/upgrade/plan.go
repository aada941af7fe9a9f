package upgrade

import (
	"fmt"
	"slices"
	"strings"

	"imgbuild/init/contract/fault"
)

// State is what is known of a node before anything is done to it.
type State struct {
	Host    string // as on the command line
	Name    string // its hostname
	Role    string
	Version string // that it runs
	Current bool   // it runs, or waits to boot, what it would get
	Bad     string // why it is degraded; empty if it is not
}

// Member is a node as the cluster knows it.
type Member struct {
	Name     string
	Server   bool
	Ready    bool
	Cordoned bool
}

// Wishes are what the user asked for about the order.
type Wishes struct {
	Force []string // hosts or names that may be degraded
	Drain bool
}

// Step is what happens to one node.
type Step struct {
	Host     string
	Skip     string // why nothing is done; empty for an upgrade
	Drain    bool
	Uncordon bool   // afterwards: nobody had cordoned it before
	Note     string // what the user should know
}

// roleOrder is the order in which nodes are upgraded. The router comes last, because the laptop may
// reach the others through it.
var roleOrder = []string{"server", "worker", "storage", "router"}

// Plan puts nodes in order. cluster is what its API reports about all of its members; nil without a
// cluster. It is an error of the kind Unhealthy when a node of the list, or another member of the
// cluster, is degraded and not forced. It is a pure function.
func Plan(nodes []State, cluster []Member, w Wishes) ([]Step, error) {
	if err := degraded(nodes, cluster, w.Force); err != nil {
		return nil, err
	}
	member := map[string]Member{}
	servers := 0
	for _, m := range cluster {
		member[m.Name] = m
		if m.Server {
			servers++
		}
	}
	rank := func(s State) int {
		if i := slices.Index(roleOrder, s.Role); i >= 0 {
			return i
		}
		return len(roleOrder) // a role that this program does not know
	}
	sorted := slices.Clone(nodes)
	slices.SortStableFunc(sorted, func(a, b State) int { return rank(a) - rank(b) })
	var steps []Step
	for _, n := range sorted {
		s := Step{Host: n.Host}
		m, known := member[strings.ToLower(n.Name)]
		switch {
		case n.Current:
			s.Skip = "it has " + n.Version + " already"
			if known && m.Cordoned {
				s.Note = "it is cordoned; `kubectl uncordon " + m.Name + "` ends that"
			}
		case !w.Drain || n.Role != "server" && n.Role != "worker":
		case cluster == nil:
			s.Note = "it is not drained: no server of its cluster was asked; server=HOST names one"
		case !known:
			s.Note = "it is not drained: the cluster knows no node " + strings.ToLower(n.Name)
		case m.Server && servers == 1:
			s.Note = "it is not drained: it is the only server"
		default:
			s.Drain, s.Uncordon = true, !m.Cordoned
		}
		steps = append(steps, s)
	}
	return steps, nil
}

// degraded is the error about nodes that are not well.
func degraded(nodes []State, cluster []Member, force []string) error {
	var bad []string
	own := map[string]bool{}
	for _, n := range nodes {
		own[strings.ToLower(n.Name)] = true
		if n.Bad != "" && !slices.Contains(force, n.Host) && !slices.Contains(force, n.Name) {
			bad = append(bad, fmt.Sprintf("%s (%s)", n.Host, n.Bad))
		}
	}
	for _, m := range cluster {
		if !m.Ready && !own[m.Name] && !slices.Contains(force, m.Name) {
			bad = append(bad, m.Name+" (the cluster reports that it is not ready)")
		}
	}
	if len(bad) == 0 {
		return nil
	}
	return fault.New(fault.Unhealthy, "look at `shelf status` there, or go on with force=NODE", "nothing was done: degraded: %s", strings.Join(bad, "; "))
}
