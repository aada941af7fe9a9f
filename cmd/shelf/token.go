package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"

	"imgbuild/init/contract/fault"
	"imgbuild/init/k3s/rotation"
	"imgbuild/init/settings/sources"

	"golang.org/x/sys/unix"
)

// longestToken is how much of standard input is read for a token, in bytes.
const longestToken = 4096

// tokenVerb is the node's part of `imgbuild token rotate`. A new token comes on standard input.
func tokenVerb(args []string, asJSON bool) error {
	word := ""
	if len(args) > 0 {
		word = args[0]
	}
	if len(args) > 1 || !slices.Contains([]string{"", "rotate", "set"}, word) {
		return unknown("token", args[len(args)-1])
	}
	if err := rootOnly(); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	cfg, _ := sources.Merge("/")
	n, err := rotation.New(cfg)
	if err != nil {
		return err
	}
	if word == "" {
		return showToken(ctx, n, asJSON)
	}
	text, err := io.ReadAll(io.LimitReader(os.Stdin, longestToken))
	if err != nil {
		return fault.Wrap(err, fault.Input, "", "reading the token")
	}
	do := n.Set
	if word == "rotate" {
		do = n.Rotate
	}
	if err := do(ctx, strings.TrimSpace(string(text))); err != nil {
		return err
	}
	show("k3s is ready with the new token")
	return nil
}

func showToken(ctx context.Context, n *rotation.Node, asJSON bool) error {
	t, err := n.State(ctx)
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(t)
	}
	showf("%s, a %s, k3s is ready: %v, the token was rotated here: %v\n", t.Name, t.Role, t.Ready, t.Rotated)
	for _, m := range t.Members {
		show("node of the cluster:", m)
	}
	return nil
}
