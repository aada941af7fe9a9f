package main

import (
	"context"
	"os"
	"slices"
	"time"

	"imgbuild/builder/cluster"
	"imgbuild/builder/fleet"
	"imgbuild/builder/remote"
	"imgbuild/cmd/line"
	"imgbuild/init/contract/fault"
)

var statusVerb = line.Verb{
	Name:     "status",
	Operands: "[NODE... | HOST... | all]",
	Words:    "all",
	Summary:  "Show how all nodes are, in one table; ends with 7 if one is bad or silent. Without an operand: all of ./cluster.yaml.",
	Keys: []line.Key{
		{Name: "limit", Value: "SECONDS", Doc: "How long each node has to answer; default 20."},
		{Name: "compare", Value: "yes|no", Doc: "Compare each node with the file, for which the secrets are opened. Default yes where nobody has to be asked for the passphrase."},
		line.Output, userKey, identityKey, hostKey},
	Examples: []string{"imgbuild status", "imgbuild status node1 node2", "imgbuild status -o json"},
	Run:      doStatus,
}

func doStatus(ctx context.Context, a *line.Args) error {
	limit, err := number(a, "limit", 20)
	if err != nil {
		return err
	}
	compare, err := a.Bool("compare", false)
	if err != nil {
		return err
	}
	targets, login, err := targetsOf(a, statusWord(a.Values["compare"] != "", compare))
	if err != nil {
		return err
	}
	if a.Values["compare"] != "" && !compare {
		for i := range targets {
			targets[i].Config = nil
		}
	}
	rows := fleet.Status(ctx, targets, login, time.Duration(limit)*time.Second)
	if err := ctx.Err(); err != nil {
		return err
	}
	if a.JSON() {
		err = printJSON(rows)
	} else {
		err = fleet.Table(os.Stdout, rows)
	}
	if err != nil {
		return err
	}
	return fleet.Unhealthy(rows)
}

// statusWord opens the secrets only where nobody has to be asked, unless that was wanted.
func statusWord(given, compare bool) func() (string, error) {
	if _, ok := os.LookupEnv(passphraseEnv); ok && !given || compare {
		return clusterWord(cluster.SecretsFile)
	}
	return nil
}

// targetsOf are the nodes that the operands name; all of ./cluster.yaml without one. word opens the
// secrets, see cluster.Open.
func targetsOf(a *line.Args, word func() (string, error)) ([]fleet.Target, remote.Options, error) {
	words := a.Operands
	if len(words) == 0 {
		words = []string{cluster.All}
	}
	hosts, login, err := hostsOf(a, words)
	if err != nil {
		return nil, login, err
	}
	c, _, err := cluster.Open(".", word)
	if err != nil && !slices.Equal(hosts, words) {
		return nil, login, err
	}
	if c != nil && words[0] == cluster.All {
		return fleet.Of(c.Nodes), login, nil
	}
	var targets []fleet.Target
	for i, w := range words {
		t := fleet.Target{Name: w, Host: hosts[i]}
		if c != nil && c.Node(w) != nil {
			t = fleet.Of([]*cluster.Node{c.Node(w)})[0]
		}
		if slices.ContainsFunc(targets, func(o fleet.Target) bool { return o.Host == t.Host }) {
			return nil, login, fault.New(fault.Usage, "name each node once", "%s is named twice", w)
		}
		targets = append(targets, t)
	}
	return targets, login, nil
}
