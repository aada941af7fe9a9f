package main

import (
	"context"
	"os"

	"imgbuild/builder/apply"
	"imgbuild/cmd/line"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/userfile"
)

var applyConfig = line.Verb{
	Name:     "apply",
	Operands: "HOST...",
	Summary:  "Change the configuration of running nodes; each takes it back unless it can be logged in to afterwards.",
	Keys: []line.Key{
		{Name: "config", Value: "FILE", Doc: "The new config.yaml, in the place of the one that the node was flashed with or got last."},
		{Name: "try", Value: "SECONDS", Doc: "How long a node waits for the new login before it takes the change back; default 120."},
		lenientKey,
		userKey, identityKey, hostKey},
	Examples: []string{"imgbuild apply node1 config=node1.yaml", "imgbuild apply 192.168.1.10 192.168.1.11 config=shelf.yaml try=60 key=accept-new"},
	Run:      doApply,
}

func doApply(ctx context.Context, a *line.Args) error {
	file := a.Values["config"]
	if len(a.Operands) == 0 || file == "" {
		return fault.New(fault.Usage, "run `imgbuild apply HOST config=FILE`", "apply needs a host and a configuration")
	}
	try, err := number(a, "try", 120)
	if err != nil {
		return err
	}
	lenient, err := a.Bool("lenient", false)
	if err != nil {
		return err
	}
	text, err := userfile.Read("config", file)
	if err != nil {
		return err
	}
	return apply.Run(ctx, apply.Options{Hosts: a.Operands, File: file, Text: text, Try: int(try), Lenient: lenient, Login: loginOptions(a), Out: os.Stdout})
}
