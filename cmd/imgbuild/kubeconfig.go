package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"imgbuild/builder/kubeconfig"
	"imgbuild/cmd/line"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/terminal"
)

var kubeconfigVerb = line.Verb{
	Name:     "kubeconfig",
	Operands: "HOST",
	Summary:  "Fetch a server's access for kubectl, with its address and a name of its own.",
	Keys: []line.Key{
		{Name: "out", Value: "FILE", Doc: "Merged into this file; default $KUBECONFIG, else ~/.kube/config; - prints it."},
		{Name: "name", Value: "NAME", Doc: "Of cluster, user and context; default the host's."},
		{Name: "address", Value: "HOST[:PORT]", Doc: "Where kubectl reaches the server; default HOST, on the port that k3s has."},
		userKey, identityKey, hostKey,
	},
	Examples: []string{"imgbuild kubeconfig shelf-1", "imgbuild kubeconfig 192.168.1.10 name=shelf out=./kubeconfig"},
	Run:      doKubeconfig,
}

func doKubeconfig(ctx context.Context, a *line.Args) error {
	if len(a.Operands) != 1 {
		return fault.New(fault.Usage, "run `imgbuild kubeconfig HOST`", "kubeconfig takes one host, not %d", len(a.Operands))
	}
	hosts, login, err := hostsOf(a, a.Operands)
	if err != nil {
		return err
	}
	r, err := kubeconfig.Fetch(ctx, kubeconfig.Options{Host: hosts[0], Name: a.Values["name"], Address: a.Values["address"], Out: a.Values["out"], Login: login})
	if err != nil {
		return err
	}
	for _, w := range r.Warnings {
		fmt.Fprintln(os.Stderr, terminal.Text("warning: "+w))
	}
	if r.File == "" {
		_, err = os.Stdout.Write(r.Text)
		return err
	}
	fmt.Printf("%s: context %s, server %s, valid until %s\n", r.File, r.Name, r.Server, r.Ends.UTC().Format(time.DateOnly))
	return nil
}
