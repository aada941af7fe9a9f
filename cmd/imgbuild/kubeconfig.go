package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"imgbuild/builder/kubeconfig"
	"imgbuild/init/contract/fault"
)

var kubeconfigVerb = verb{
	name:     "kubeconfig",
	operands: "HOST",
	summary:  "Fetch a server's access for kubectl, with its address and a name of its own.",
	keys: []key{
		{name: "out", value: "FILE", doc: "Merged into this file; default $KUBECONFIG, else ~/.kube/config; - prints it."},
		{name: "name", value: "NAME", doc: "Of cluster, user and context; default the host's."},
		{name: "address", value: "HOST[:PORT]", doc: "Where kubectl reaches the server; default HOST, on the port that k3s has."},
		userKey, identityKey, hostKey,
	},
	examples: []string{"imgbuild kubeconfig shelf-1", "imgbuild kubeconfig 192.168.1.10 name=shelf out=./kubeconfig"},
	do:       doKubeconfig,
}

func doKubeconfig(ctx context.Context, a *args) error {
	if len(a.operands) != 1 {
		return fault.New(fault.Usage, "run `imgbuild kubeconfig HOST`", "kubeconfig takes one host, not %d", len(a.operands))
	}
	r, err := kubeconfig.Fetch(ctx, kubeconfig.Options{Host: a.operands[0], Name: a.values["name"], Address: a.values["address"], Out: a.values["out"], Login: loginOptions(a)})
	if err != nil {
		return err
	}
	for _, w := range r.Warnings {
		fmt.Fprintln(os.Stderr, "warning: "+w)
	}
	if r.File == "" {
		_, err = os.Stdout.Write(r.Text)
		return err
	}
	fmt.Printf("%s: context %s, server %s, valid until %s\n", r.File, r.Name, r.Server, r.Ends.UTC().Format(time.DateOnly))
	return nil
}
