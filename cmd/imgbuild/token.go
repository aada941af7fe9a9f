package main

import (
	"context"
	"fmt"
	"os"

	"imgbuild/builder/token"
	"imgbuild/cmd/line"
	"imgbuild/init/contract/fault"
)

var tokenVerb = line.Verb{
	Name:     "token",
	Operands: "rotate HOST...",
	Summary:  "Change the token of a running cluster: on a server, then on every other node, agents one at a time.",
	Keys: []line.Key{
		{Name: "new", Value: "FILE", Doc: "The new token. A file that does not exist is made, with a random token. Default ./" + token.DefaultFile + ", which must not exist."},
		{Name: "missing", Value: "yes|no", Doc: "yes: nodes of the cluster that are not named stay behind with the old token. Default no: that is an error."},
		userKey, identityKey, hostKey},
	Examples: []string{"imgbuild token rotate server worker1 worker2", "imgbuild token rotate server worker1 new=token.txt"},
	Run:      doToken,
}

func doToken(ctx context.Context, a *line.Args) error {
	if len(a.Operands) < 2 || a.Operands[0] != "rotate" {
		return fault.New(fault.Usage, "run `imgbuild token rotate HOST...` with every node of the cluster", "token wants the word rotate, and hosts")
	}
	missing, err := a.Bool("missing", false)
	if err != nil {
		return err
	}
	hosts, login, err := hostsOf(a, a.Operands[1:])
	if err != nil {
		return err
	}
	word, file, err := token.File(a.Values["new"])
	if err != nil {
		return err
	}
	if err := token.Run(ctx, token.Options{Hosts: hosts, Token: word, Missing: missing, Login: login, Out: os.Stdout}); err != nil {
		return fmt.Errorf("%w; the new token is in %s", err, file)
	}
	fmt.Printf("the new token is in %s: put it into k3os.token of the nodes' configuration; backups made before need the old one\n", file)
	return nil
}
