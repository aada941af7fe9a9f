// Package apply changes the configuration of running nodes: every node checks it before any is
// changed, each tries it, and keeps it only when a new login over ssh confirms it.
package apply

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"imgbuild/builder/image"
	"imgbuild/builder/remote"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/terminal"
)

// Options are the nodes and the configuration.
type Options struct {
	Hosts   []string // [USER@]HOST[:PORT]
	File    string   // where Text comes from, for messages
	Text    []byte   // the new config.yaml
	Own     [][]byte // for each host one of its own, in the place of Text; nil: all get the same
	Try     int      // seconds that a node waits for the new login
	Lenient bool     // keys that do not exist are warnings
	Login   remote.Options
	Out     io.Writer // gets what each node answers, made safe for a terminal
}

// Run applies a configuration to all nodes, one after the other. An error names each node with its
// state.
func Run(ctx context.Context, o Options) error {
	o.Out = terminal.NewWriter(o.Out)
	if o.Own == nil {
		if err := check(o); err != nil {
			return err
		}
		if err := onlyOne(o.Hosts, o.Text); err != nil {
			return err
		}
	}
	nodes, err := checkAll(ctx, o)
	defer func() {
		for _, n := range nodes {
			n.Close()
		}
	}()
	if err != nil {
		if len(o.Hosts) > 1 {
			err = fault.Wrap(err, fault.Internal, "", "no node was changed")
		}
		return err
	}
	for i, n := range nodes {
		if err := applyTo(ctx, o, n, n.text, o.Try); err != nil {
			return stopped(err, nodes, i)
		}
	}
	return nil
}

// check looks at the configuration as far as that can be done without a node.
func check(o Options) error {
	problems, err := image.Validate(o.File, o.Text, nil)
	if err != nil {
		return err
	}
	if !o.Lenient {
		problems = config.Strict(problems)
	}
	for _, p := range problems {
		if p.Severity == config.Error && p.File != "" {
			fmt.Fprintln(o.Out, p)
			err = fault.New(fault.Input, "correct what is marked as an error", "%s has errors", o.File)
		}
	}
	return err
}

// onlyOne refuses to give several nodes what only one can have: its name, or a fixed address on an
// interface that each of them may have.
func onlyOne(hosts []string, text []byte) error {
	if len(hosts) < 2 {
		return nil
	}
	layer, _ := config.Parse("", text)
	c, _ := config.Merge(layer)
	what := ""
	for _, i := range c.Network.Interfaces {
		if len(i.Addresses) > 0 && i.MAC == "" {
			what = "the address " + i.Addresses[0]
		}
	}
	if c.Hostname != "" {
		what = "the hostname " + c.Hostname
	}
	if what == "" {
		return nil
	}
	return fault.New(fault.Input, "give each node its own file, or take it out; an interface that is named by its MAC may have an address",
		"%s cannot belong to %d nodes", what, len(hosts))
}

// checked is a node that would take the configuration.
type checked struct {
	*remote.Node
	host string // as on the command line
	text []byte // what it gets
	plan config.Plan
}

// checkAll asks every node what it thinks and shows the difference. The first one that does not
// take the configuration, or cannot be logged in to, is the error; nothing has changed then. The
// connections are the caller's to close.
func checkAll(ctx context.Context, o Options) (nodes []*checked, err error) {
	seen := map[string]string{}
	for i, host := range o.Hosts {
		text := o.Text
		if o.Own != nil {
			text = o.Own[i]
		}
		n, err := remote.Dial(ctx, host, o.Login)
		if err != nil {
			return nodes, err
		}
		nodes = append(nodes, &checked{Node: n, host: host, text: text})
		id := string(n.HostKey.Marshal())
		if other, twice := seen[id]; twice {
			return nodes, fault.New(fault.Usage, "name each node once", "%s and %s are the same node", other, host)
		}
		seen[id] = host
		plan, err := ask(ctx, n, "sudo shelf config check - output=json", text)
		if err != nil {
			return nodes, err
		}
		nodes[len(nodes)-1].plan = plan
		fmt.Fprintf(o.Out, "%s is %s, a %s on %s\n", n.Host, plan.Hostname, plan.Role, plan.Board)
		for _, p := range plan.Problems {
			fmt.Fprintln(o.Out, "  "+p)
		}
		for _, c := range plan.Changes {
			fmt.Fprintln(o.Out, "  "+c.String())
		}
		if len(plan.Changes) == 0 {
			fmt.Fprintln(o.Out, "  nothing changes")
		}
	}
	return nodes, nil
}

// applyTo changes one node: it has it try, and confirms from a new login.
func applyTo(ctx context.Context, o Options, n *checked, text []byte, try int) error {
	if len(n.plan.Changes) == 0 {
		return nil
	}
	var trial uint64
	apply := func() error {
		plan, err := ask(ctx, n.Node, "sudo shelf config apply - output=json try="+strconv.Itoa(try), text)
		trial = plan.Trial
		return err
	}
	err := apply()
	if fault.Code(err) == int(fault.Network) && ctx.Err() == nil {
		// The connection is as old as the first node's turn, and may have led through that one.
		again, lerr := remote.Dial(ctx, n.host, o.Login)
		if lerr != nil {
			return lerr
		}
		n.Close()
		n.Node = again
		err = apply()
	}
	if err != nil {
		return err
	}
	n.Close()
	if err := confirm(ctx, o, n.Node, trial, text, time.Duration(try)*time.Second); err != nil {
		return err
	}
	fmt.Fprintf(o.Out, "%s: applied, and confirmed by a new login\n", n.Host)
	return nil
}

// stopped reports the state of all nodes when the one with number i failed.
func stopped(err error, nodes []*checked, i int) error {
	if len(nodes) < 2 {
		return err
	}
	list := func(what string, some []*checked) string {
		var names []string
		for _, n := range some {
			if len(n.plan.Changes) > 0 {
				names = append(names, n.Host)
			}
		}
		if len(names) == 0 {
			return ""
		}
		return "; " + what + ": " + strings.Join(names, ", ")
	}
	where := "stopped at " + nodes[i].Host + list("changed and confirmed", nodes[:i]) + list("not touched", nodes[i+1:])
	return fault.Wrap(err, fault.Internal, "", "%s", where)
}

// ask has the node look at the configuration.
func ask(ctx context.Context, n *remote.Node, command string, text []byte) (plan config.Plan, err error) {
	out, err := n.Output(ctx, command, bytes.NewReader(text))
	if err != nil {
		return plan, err
	}
	if err := json.Unmarshal(out, &plan); err != nil {
		return plan, fault.Wrap(err, fault.Network, "upgrade the node; its shelf may be too old", "%s does not answer as expected", n.Host)
	}
	return plan, nil
}

// confirm logs in again until the node takes that for a proof. A node that got another address is
// looked for there too, at the same time, for an address that is gone may keep silent; by its host
// key it is the same one.
func confirm(ctx context.Context, o Options, n *remote.Node, trial uint64, text []byte, limit time.Duration) error {
	parent := ctx
	ctx, stop := context.WithTimeout(ctx, limit)
	defer stop()
	c := confirmation{node: n, options: o.Login, trial: trial}
	c.options.User, c.options.HostKey, c.options.Say = n.User, n.HostKey, nil
	hosts := append([]string{n.Address}, newAddresses(n, text)...)
	answers := make(chan error, len(hosts))
	for _, host := range hosts {
		go func() { answers <- c.at(ctx, host) }()
	}
	var why []string
	for range hosts {
		err := <-answers
		if err == nil {
			return nil
		}
		var f *fault.Error
		if errors.As(err, &f) && f.Kind == fault.Usage { // there is nothing to confirm any more
			return err
		}
		why = append(why, err.Error())
	}
	if parent.Err() != nil {
		return fault.Wrap(parent.Err(), fault.Network, "the node goes back to the configuration before by itself", "%s was not waited for", n.Host)
	}
	return fault.New(fault.Network, "correct the configuration; the node goes back to the one before by itself",
		"%s could not be logged in to with the new configuration within %v: %v", n.Host, limit, strings.Join(why, "; "))
}

// confirmation is the proof that a node can still be logged in to.
type confirmation struct {
	node    *remote.Node
	options remote.Options
	trial   uint64

	mu   sync.Mutex // one at a time reports it
	done bool
}

// at tries one address until the node reports that the trial is confirmed, nil, or over, a fault of
// kind Usage, or until ctx ends; then it returns what went wrong last.
func (c *confirmation) at(ctx context.Context, host string) error {
	var last error
	for {
		err := c.once(ctx, host)
		var f *fault.Error
		if err == nil || errors.As(err, &f) && f.Kind == fault.Usage {
			return err
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return last
		case <-time.After(time.Second):
		}
	}
}

// once logs in and confirms. A small board with much to do takes its time for a login.
func (c *confirmation) once(ctx context.Context, host string) error {
	again, err := remote.Dial(ctx, host, c.options)
	if err != nil {
		return err
	}
	defer again.Close()
	command := "sudo shelf config confirm"
	if c.trial != 0 { // another one may have begun meanwhile
		command += " " + strconv.FormatUint(c.trial, 10)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done {
		return nil
	}
	_, err = again.Output(ctx, command, nil)
	c.done = err == nil
	return err
}

// newAddresses returns the static addresses of the new configuration, with the port at which the
// node was reached.
func newAddresses(n *remote.Node, text []byte) (hosts []string) {
	layer, _ := config.Parse("", text)
	c, _ := config.Merge(layer)
	_, port, err := net.SplitHostPort(n.Address)
	if err != nil {
		return nil
	}
	for _, i := range c.Network.Interfaces {
		for _, s := range i.Addresses {
			p, err := netip.ParsePrefix(s)
			if err != nil {
				continue
			}
			if host := net.JoinHostPort(p.Addr().String(), port); host != n.Address && !slices.Contains(hosts, host) {
				hosts = append(hosts, host)
			}
		}
	}
	return hosts
}
