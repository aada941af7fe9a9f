package main

import (
	"context"
	"os"

	"imgbuild/builder/blockcache"
	"imgbuild/builder/bundle"
	"imgbuild/builder/order"
	"imgbuild/builder/upgrade"
	"imgbuild/cmd/line"
	"imgbuild/init/contract/fault"
)

var upgradeVerb = line.Verb{
	Name:     "upgrade",
	Operands: "HOST... | NODE... | all | resume HOST",
	Words:    "all resume",
	Summary:  "Upgrade running nodes; each commits the new system when it is healthy, or goes back to the old one. resume: nodes that upgrade themselves go on with versions that were stopped; HOST is the first server. NODE and all: those of ./cluster.yaml.",
	Keys: []line.Key{
		{Name: "bundle", Value: "FILE", Doc: "The bundle. Default: for each node the newest one of out= for its family and role."},
		{Name: "from", Value: "FILE[,FILE]", Doc: "Images or bundles that the nodes may run, for small transfers. Those of out= are known."},
		{Name: "out", Value: "DIR", Doc: "Where bundles and images are; default out."},
		{Name: "board", Value: "BOARD", Doc: "Build the bundle first, for this board; with role=."},
		{Name: "role", Value: "ROLE", Doc: "Role of that build."},
		{Name: "drain", Value: "yes|no", Doc: "Move the pods of servers and workers away first. Default yes, where a server of the cluster can be asked."},
		{Name: "server", Value: "HOST[,HOST]", Doc: "Servers that are asked to drain, if none is among the nodes."},
		{Name: "prefetch", Value: "yes|no", Doc: "Write all nodes before the first one reboots; each then has only the new system to fall back to. Default no."},
		{Name: "firmware", Value: "yes|no", Doc: "Of one node: upgrade the firmware on its boot partition too, once it has committed the system. If it then does not boot, its card has to come out (`imgbuild firmware`). Default no."},
		{Name: "again", Value: "yes|no", Doc: "Try a bundle that a node has rolled back before. Default no."},
		{Name: "force", Value: "NODE[,NODE]", Doc: "Nodes that may be degraded; others end the run before it begins."},
		{Name: "sign", Value: "FILE", Doc: "Private key that signs what is built, and whose public half a node without any key may be given; default that of ./cluster.secrets.yaml, else ~/.config/imgbuild/key."},
		k3sKey, lockKey, mirrorKey, cacheKey,
		userKey, identityKey, hostKey},
	Examples: []string{
		"imgbuild upgrade node1",
		"imgbuild upgrade all",
		"imgbuild upgrade node1 node2 node3 bundle=out/rpi4-worker-20261122-0badc0de.upgrade",
		"imgbuild upgrade node1 board=rpi4 role=worker",
	},
	Run: doUpgrade,
}

func doUpgrade(ctx context.Context, a *line.Args) error {
	if len(a.Operands) == 0 {
		return fault.New(fault.Usage, "run `imgbuild upgrade HOST`", "upgrade wants a host")
	}
	if a.Operands[0] == "resume" {
		if len(a.Operands) != 2 {
			return fault.New(fault.Usage, "run `imgbuild upgrade resume HOST`", "resume wants one host, the first server of the cluster")
		}
		hosts, login, err := hostsOf(a, a.Operands[1:])
		if err != nil {
			return err
		}
		return upgrade.Resume(ctx, hosts[0], login, os.Stdout)
	}
	hosts, login, err := hostsOf(a, a.Operands)
	if err != nil {
		return err
	}
	o := upgrade.Options{Hosts: hosts, Bundle: a.Values["bundle"], Dir: a.Values["out"], From: list(a.Values["from"]), Force: list(a.Values["force"]),
		Servers: list(a.Values["server"]), Login: login, Out: os.Stdout}
	o.Ask = o.Login.Ask
	if o.Dir == "" {
		o.Dir = "out"
	}
	if o.Drain, err = a.Bool("drain", true); err != nil {
		return err
	}
	if o.Prefetch, err = a.Bool("prefetch", false); err != nil {
		return err
	}
	if o.Again, err = a.Bool("again", false); err != nil {
		return err
	}
	if o.Firmware, err = a.Bool("firmware", false); err != nil {
		return err
	}
	s := newScreen(os.Stderr)
	defer s.Done()
	if a.Values["board"] != "" || a.Values["role"] != "" {
		if o.Bundle, err = buildBundle(ctx, a, s); err != nil {
			return err
		}
	}
	if o.Cache, err = blockcache.Open(a.Values["cache"]); err != nil {
		return err
	}
	o.Keys, o.Show = bundle.PublicKeys(a.Values["sign"]), s
	return upgrade.Run(ctx, o)
}

// buildBundle builds the image of board= and role= and returns its bundle.
func buildBundle(ctx context.Context, a *line.Args, s *screen) (string, error) {
	if a.Values["bundle"] != "" {
		return "", fault.New(fault.Usage, "leave one of them out", "bundle= names a bundle, board= and role= build one")
	}
	key, err := signingKey(a.Values["sign"])
	if err != nil {
		return "", err
	}
	if key == nil {
		return "", fault.New(fault.Input, "make one with `imgbuild keygen`, or name it with sign=FILE", "there is no key to sign with")
	}
	_, res, err := order.Build(ctx, order.Order{Plan: planOf(a), K3s: a.Values["k3s"], Lock: a.Values["lock"], Out: a.Values["out"], Pack: true, Sign: key}, s)
	s.Done()
	if err != nil {
		return "", err
	}
	return res.Bundle(), nil
}
