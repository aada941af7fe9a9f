package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"imgbuild/builder/migrate"
	"imgbuild/builder/recipe"
	"imgbuild/cmd/line"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/k3sstep"
	"imgbuild/init/contract/terminal"
)

var migrateNode = line.Verb{
	Name:     "migrate",
	Operands: "CARD|IMAGE",
	Summary:  "Take a node off a card of k3OS or picl, for import= of a build. The card is only read.",
	Keys: []line.Key{
		{Name: "out", Value: "FILE", Doc: "The archive, such as node1.tar; compressed if it ends in .zst. It will hold the node's secrets."},
		{Name: "mode", Value: "fresh|full", Doc: "fresh: name, keys and configuration, for a new cluster. full: k3s' data, local volumes and files too."},
		{Name: "mac", Value: "ADDRESS", Doc: "Which node it is, where the card has the configurations of several."},
		{Name: "config", Value: "NAME", Doc: "The same, by the name of the file in k3os/system/config."},
		{Name: "from", Value: "VERSION", Doc: "The version of k3s on the card, where it cannot be determined."},
		{Name: "k3s", Value: "VERSION", Doc: "The k3s of the image it is for; default " + recipe.K3sDefault + "."},
		line.Output},
	Examples: []string{
		"sudo imgbuild migrate /dev/sdb out=node1.tar mode=full",
		"imgbuild migrate card.img out=node1.tar.zst mode=fresh mac=dc:a6:32:01:02:03",
	},
	Run: doMigrate,
}

func doMigrate(ctx context.Context, a *line.Args) error {
	if len(a.Operands) != 1 {
		return fault.New(fault.Usage, "run `imgbuild migrate /dev/sdb out=node1.tar mode=full`", "migrate takes one card or image, not %d", len(a.Operands))
	}
	o := migrate.Options{Source: a.Operands[0], Out: a.Values["out"], Mode: a.Values["mode"], MAC: a.Values["mac"], Config: a.Values["config"],
		From: a.Values["from"], K3s: a.Values["k3s"], Now: time.Now(),
		Say: func(place string) { fmt.Fprintln(os.Stderr, terminal.Text("reading "+place)) }}
	if o.Out == "" {
		return fault.New(fault.Usage, "use out=node1.tar", "no out= is given")
	}
	if o.Mode != migrate.Fresh && o.Mode != migrate.Full {
		return fault.New(fault.Usage, "fresh takes name, keys and configuration, for a new cluster; full takes k3s' data, volumes and files too", "use mode=fresh or mode=full")
	}
	if o.K3s == "" {
		o.K3s = recipe.K3sDefault
	}
	for _, key := range []string{"from", "k3s"} {
		if v := a.Values[key]; v != "" && !isRelease(v) {
			return fault.New(fault.Usage, "write it as v1.22.2+k3s1", "%s=%s is not a version of k3s", key, v)
		}
	}
	r, err := migrate.Run(ctx, o)
	if err != nil {
		return err
	}
	if a.JSON() {
		return printJSON(r)
	}
	return printMigration(terminal.NewWriter(os.Stdout), r)
}

func isRelease(version string) bool {
	_, ok := k3sstep.Parse(version)
	return ok
}

func printMigration(w *terminal.Writer, r *migrate.Report) error {
	k3s := ""
	if r.K3s != "" {
		k3s = ", k3s " + r.K3s
	}
	fmt.Fprintf(w, "%s: %s as %s%s, from a %s; %d files, %s\n\nTaken:\n", r.Out, r.Hostname, r.Role, k3s, r.From, r.Files, size(r.Bytes))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, i := range r.Taken {
		fmt.Fprintf(t, "  %s\t%s\t%s\n", i.Path, size(i.Bytes), i.Why)
	}
	_ = t.Flush()
	if len(r.Left) > 0 {
		fmt.Fprintln(w, "\nLeft:")
		for _, i := range r.Left {
			fmt.Fprintf(t, "  %s\t%s\n", i.Path, i.Why)
		}
		_ = t.Flush()
	}
	if len(r.Warnings) > 0 {
		fmt.Fprintln(w, "\nTo know:")
		for _, text := range r.Warnings {
			fmt.Fprintln(w, "  - "+strings.ReplaceAll(text, "\n", "\n    "))
		}
	}
	fmt.Fprintln(w, "\nNext:")
	for _, s := range r.NextSteps {
		fmt.Fprintf(w, "  %s\n      %s\n", s.Why, s.Command)
	}
	return w.Flush()
}
