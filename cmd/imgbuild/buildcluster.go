package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"imgbuild/builder/cluster"
	"imgbuild/builder/image"
	"imgbuild/builder/order"
	"imgbuild/cmd/line"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/terminal"
)

// buildNodes builds the images of nodes of ./cluster.yaml: one for each board and role, without a
// configuration; flash writes that.
func buildNodes(ctx context.Context, a *line.Args, o order.Order) error {
	for _, name := range []string{"board", "role", "config", "key", "lenient", "import", "restore"} {
		if a.Values[name] != "" {
			return fault.New(fault.Usage, "leave it out", "%s has what %s= would be for", cluster.File, name)
		}
	}
	began := time.Now()
	c, nodes, secrets, err := cluster.Nodes(".", a.Operands, clusterWord(cluster.SecretsFile))
	if err != nil {
		return err
	}
	if o.Sign, err = signingKey(a.Values["sign"]); err != nil {
		return err
	}
	if err := c.WriteKnownHosts(homeDir(), secrets); err != nil {
		return err
	}
	s := newScreen(os.Stderr)
	s.hold, s.phases, o.Later = true, phases(o), true
	defer s.warnings()
	defer s.Done()
	for _, n := range nodes {
		for _, w := range n.Warnings {
			s.Warn(w)
		}
		if secrets.HostKey(n.Name) == "" {
			s.Warn(fmt.Sprintf("%s has no identity in %s: ssh will ask whether it is the right machine; run `imgbuild new cluster`", n.Name, cluster.SecretsFile))
		}
	}
	groups := cluster.Groups(nodes)
	var results []*image.Result
	for _, g := range groups {
		o.Board, o.Role = g.Board, g.Role
		_, res, err := order.Build(ctx, o, s)
		if err != nil {
			return fault.Wrap(err, fault.Internal, "", "%s as %s", g.Board, g.Role)
		}
		results = append(results, res)
	}
	s.Done()
	if a.JSON() {
		return printJSON(results)
	}
	for i, g := range groups {
		fmt.Printf("%s\n  for %s\n", results[i].Image, strings.Join(g.Names(), ", "))
	}
	out := ""
	if o.Out != "" {
		out = " out=" + terminal.Quote(o.Out)
	}
	fmt.Printf("built in %.1f s\n\nNext:\n  write a card     sudo imgbuild flash %s%s\n", time.Since(began).Seconds(), nodes[0].Name, out)
	return nil
}
