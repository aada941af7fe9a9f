package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"imgbuild/builder/image"
	"imgbuild/builder/remote"
	"imgbuild/init/config"
	"imgbuild/init/fault"
)

var applyConfig = verb{
	name:     "apply",
	operands: "HOST...",
	summary:  "Change the configuration of running nodes; each takes it back unless it can be logged in to afterwards.",
	keys: []key{
		{name: "config", value: "FILE", doc: "The new config.yaml, in the place of the one that the node was flashed with or got last."},
		{name: "try", value: "SECONDS", doc: "How long a node waits for the new login before it takes the change back; default 120."},
		userKey, identityKey, hostKey},
	examples: []string{"imgbuild apply node1 config=node1.yaml", "imgbuild apply 192.168.1.10 192.168.1.11 config=shelf.yaml try=60 key=accept-new"},
	do:       doApply,
}

func doApply(ctx context.Context, a *args) error {
	file := a.values["config"]
	if len(a.operands) == 0 || file == "" {
		return fault.New(fault.Usage, "say `imgbuild apply HOST config=FILE`", "apply wants a host and a configuration")
	}
	try, err := number(a, "try", 120)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return fault.Wrap(fault.Input, err, "reading "+file, "")
	}
	problems, err := image.Validate(file, text, nil)
	if err != nil {
		return err
	}
	for _, p := range problems {
		if p.Severity == config.Error && p.File != "" {
			fmt.Println(p)
			err = fault.New(fault.Input, "correct what is marked as an error", "%s has errors", file)
		}
	}
	if err != nil {
		return err
	}
	for _, host := range a.operands {
		if err := applyTo(ctx, a, host, text, int(try)); err != nil {
			return err
		}
	}
	return nil
}

// applyTo changes one node: asks it what it thinks, shows the difference, has it try, and confirms from a new login.
func applyTo(ctx context.Context, a *args, host string, text []byte, try int) error {
	n, err := login(ctx, a, host)
	if err != nil {
		return err
	}
	defer n.Close()
	plan, err := ask(ctx, n, "sudo shelf config check - output=json", text)
	if err != nil {
		return err
	}
	fmt.Printf("%s is %s, a %s on %s\n", n.Host, plan.Hostname, plan.Role, plan.Board)
	for _, p := range plan.Problems {
		fmt.Println("  " + p)
	}
	for _, c := range plan.Changes {
		fmt.Println("  " + c.String())
	}
	if len(plan.Changes) == 0 {
		fmt.Println("  nothing changes")
		return nil
	}
	if _, err := ask(ctx, n, "sudo shelf config apply - output=json try="+strconv.Itoa(try), text); err != nil {
		return err
	}
	n.Close()
	if err := confirm(ctx, a, n, text, time.Duration(try)*time.Second); err != nil {
		return err
	}
	fmt.Printf("%s: applied, and confirmed by a new login\n", n.Host)
	return nil
}

// ask has the node look at the configuration.
func ask(ctx context.Context, n *remote.Node, command string, text []byte) (plan config.Plan, err error) {
	out, err := n.Output(ctx, command, bytes.NewReader(text))
	if err != nil {
		return plan, err
	}
	if err := json.Unmarshal(out, &plan); err != nil {
		return plan, fault.Wrap(fault.Network, err, n.Host+" gives no sensible answer", "upgrade the node; its shelf may be too old")
	}
	return plan, nil
}

// confirm logs in anew until the node takes that for a proof. A node that got another address is looked for there too; by
// its host key it is the same one.
func confirm(ctx context.Context, a *args, n *remote.Node, text []byte, limit time.Duration) error {
	ctx, stop := context.WithTimeout(ctx, limit)
	defer stop()
	last := error(fault.New(fault.Network, "", "it was not tried"))
	hosts := append([]string{n.Address}, newAddresses(n, text)...)
	for {
		for _, host := range hosts {
			err := confirmAt(ctx, a, n, host)
			if err == nil {
				return nil
			}
			if ctx.Err() == nil {
				last = err
			}
			var f *fault.Error
			if errors.As(err, &f) && f.Kind == fault.Usage { // there is nothing to confirm any more
				return err
			}
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return fault.New(fault.Network, "correct the configuration; the node goes back to the one before by itself",
					"%s could not be logged in to with the new configuration within %v: %v", n.Host, limit, last)
			}
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

func confirmAt(ctx context.Context, a *args, n *remote.Node, host string) error {
	o := loginOptions(a)
	o.User, o.HostKey, o.Timeout, o.Say = n.User, n.HostKey, 5*time.Second, nil
	again, err := remote.Dial(ctx, host, o)
	if err != nil {
		return err
	}
	defer again.Close()
	_, err = again.Output(ctx, "sudo shelf config confirm", nil)
	return err
}

// newAddresses gives the static addresses of the new configuration, with the port at which the node was reached.
func newAddresses(n *remote.Node, text []byte) (hosts []string) {
	layer, _ := config.Parse("", text)
	c, _ := config.Merge(layer)
	port := n.Address[strings.LastIndexByte(n.Address, ':')+1:]
	for _, i := range c.Network.Interfaces {
		for _, s := range i.Addresses {
			if p, err := netip.ParsePrefix(s); err == nil {
				host := netip.AddrPortFrom(p.Addr(), 22).String()
				host = strings.TrimSuffix(host, "22") + port
				if host != n.Address {
					hosts = append(hosts, host)
				}
			}
		}
	}
	return hosts
}
