// Package token changes the token of a running cluster: on a server, then on every other node, one
// at a time.
package token

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"imgbuild/builder/remote"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/k3sstep"
	"imgbuild/init/contract/terminal"
)

// New makes a token: 26 letters and digits, 130 random bits.
func New() string { return strings.ToLower(rand.Text()) }

// Options are the nodes and what is done on them.
type Options struct {
	Hosts   []string // [USER@]HOST[:PORT], every node of the cluster
	Token   string   // the new one
	Missing bool     // nodes of the cluster that are not among Hosts are left behind
	Login   remote.Options
	Out     io.Writer // what happens, for people
}

// node is one of the hosts.
type node struct {
	k3sstep.TokenState
	host string // as on the command line
	id   string // its host key
}

// Run changes the token. Nothing is changed before every node has been asked. Run again with the
// same token after an error: it goes on.
func Run(ctx context.Context, o Options) error {
	o.Out = terminal.NewWriter(o.Out)
	nodes, err := o.ask(ctx)
	if err != nil {
		return err
	}
	order, err := Order(nodes, o.Missing)
	if err != nil {
		return err
	}
	for i, n := range order {
		verb := "set"
		if i == 0 {
			verb = "rotate"
		}
		if err := o.on(ctx, n.host, "sudo -n shelf token "+verb, strings.NewReader(o.Token+"\n"), nil); err != nil {
			return stopped(err, order, i)
		}
		fmt.Fprintf(o.Out, "%s (%s): k3s is ready with the new token\n", n.Name, n.Role)
	}
	return nil
}

// on runs a command on a host; every command has a connection of its own, because the one before
// may have led through a node whose k3s restarts.
func (o Options) on(ctx context.Context, host, command string, in io.Reader, answer any) error {
	n, err := remote.Dial(ctx, host, o.Login)
	if err != nil {
		return err
	}
	defer n.Close()
	out, err := n.Output(ctx, command, in)
	if err != nil || answer == nil {
		return err
	}
	if s, ok := answer.(*node); ok {
		s.id = string(n.HostKey.Marshal())
		answer = &s.TokenState
	}
	if err := json.Unmarshal(out, answer); err != nil {
		return fault.Wrap(err, fault.Network, "upgrade the node; its shelf may be too old", "%s does not answer as expected", n.Host)
	}
	return nil
}

// ask asks every node how it is.
func (o Options) ask(ctx context.Context) (nodes []node, err error) {
	for _, host := range o.Hosts {
		n := node{host: host}
		if err := o.on(ctx, host, "sudo -n shelf token output=json", nil, &n); err != nil {
			return nil, fault.Wrap(err, fault.Network, "", "nothing was changed")
		}
		nodes = append(nodes, n)
	}
	return nodes, nil
}

// Order returns the nodes in the order in which they get the new token: servers first, agents last.
// It refuses what would leave a node behind that cannot join any more.
func Order(nodes []node, missing bool) ([]node, error) {
	order := slices.Clone(nodes)
	slices.SortStableFunc(order, func(a, b node) int { return rank(a) - rank(b) })
	if len(order) == 0 || order[0].Role != "server" {
		return nil, fault.New(fault.Usage, "name a server of the cluster, and all its other nodes", "the token of a cluster is changed on a server, and none is among the hosts")
	}
	seen, names := map[string]string{}, map[string]string{}
	for _, n := range order {
		if other, ok := seen[n.id]; ok {
			return nil, fault.New(fault.Usage, "name each node once", "%s and %s are the same node", other, n.host)
		}
		if other, ok := names[n.Name]; ok {
			return nil, fault.New(fault.Input, "one of them belongs to another cluster", "%s and %s are both called %s in their cluster", other, n.host, n.Name)
		}
		seen[n.id], names[n.Name] = n.host, n.host
		switch {
		case n.Refused != "":
			return nil, fault.New(fault.Input, "", "%s: %s; nothing was changed", n.host, n.Refused)
		case !n.Ready && !n.Rotated: // one that was rotated may wait for the token of this run
			return nil, fault.New(fault.Unhealthy, "look at `imgbuild node "+n.host+" status`", "k3s of %s is not ready; nothing was changed", n.host)
		}
	}
	first := order[0]
	if len(first.Members) == 0 && !first.Ready {
		return nil, fault.New(fault.Unhealthy, "look at `imgbuild node "+first.host+" status`", "k3s of %s is not ready; nothing was changed", first.host)
	}
	var strangers, left []string
	for _, n := range order {
		if !slices.Contains(first.Members, n.Name) {
			strangers = append(strangers, n.host)
		}
	}
	for _, m := range first.Members {
		if _, named := names[m]; !named {
			left = append(left, m)
		}
	}
	switch {
	case len(strangers) > 0:
		return nil, fault.New(fault.Input, "name the nodes of one cluster", "%s does not know %s; nothing was changed", first.host, strings.Join(strangers, ", "))
	case len(left) > 0 && !missing:
		return nil, fault.New(fault.Input, "name them too; or give missing=yes, and set k3os.token on them before their k3s starts again",
			"the cluster has other nodes, which could not join again with the old token: %s; nothing was changed", strings.Join(left, ", "))
	}
	return order, nil
}

func rank(n node) int {
	if n.Role == "server" {
		return 0
	}
	return 1
}

// stopped reports where the nodes are when number i failed.
func stopped(err error, order []node, i int) error {
	hosts := func(what string, some []node) string {
		if len(some) == 0 {
			return ""
		}
		var names []string
		for _, n := range some {
			names = append(names, n.host)
		}
		return "; " + what + ": " + strings.Join(names, ", ")
	}
	return fault.Wrap(err, fault.Internal, "run the command again with the same token (new=FILE)", "stopped at %s%s%s",
		order[i].host, hosts("with the new token", order[:i]), hosts("with the old one", order[i+1:]))
}
