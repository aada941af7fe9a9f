package main

import (
	"context"
	"os"

	"imgbuild/builder/apply"
	"imgbuild/builder/cluster"
	"imgbuild/cmd/line"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/userfile"
)

var applyConfig = line.Verb{
	Name:     "apply",
	Operands: "HOST... | NODE... | all",
	Words:    "all",
	Summary:  "Change the configuration of running nodes; each takes it back unless it can be logged in to afterwards. NODE and all: those of ./cluster.yaml, each with its own.",
	Keys: []line.Key{
		{Name: "config", Value: "FILE", Doc: "The new config.yaml, in the place of the one that the node was flashed with or got last."},
		{Name: "try", Value: "SECONDS", Doc: "How long a node waits for the new login before it takes the change back; default 120."},
		lenientKey,
		userKey, identityKey, hostKey},
	Examples: []string{"imgbuild apply node1 config=node1.yaml", "imgbuild apply all", "imgbuild apply 192.168.1.10 192.168.1.11 config=shelf.yaml try=60 key=accept-new"},
	Run:      doApply,
}

func doApply(ctx context.Context, a *line.Args) error {
	file := a.Values["config"]
	if len(a.Operands) == 0 || file == "" && a.Values["lenient"] != "" {
		return fault.New(fault.Usage, "run `imgbuild apply HOST config=FILE`, or `imgbuild apply NODE` next to cluster.yaml", "apply needs a host and a configuration")
	}
	try, err := number(a, "try", 120)
	if err != nil {
		return err
	}
	lenient, err := a.Bool("lenient", false)
	if err != nil {
		return err
	}
	o := apply.Options{File: file, Try: int(try), Lenient: lenient, Out: os.Stdout}
	if file != "" {
		if o.Text, err = userfile.Read("config", file); err != nil {
			return err
		}
		if o.Hosts, o.Login, err = hostsOf(a, a.Operands); err != nil {
			return err
		}
		return apply.Run(ctx, o)
	}
	c, nodes, secrets, err := cluster.Nodes(".", a.Operands, clusterWord(cluster.SecretsFile))
	if err != nil {
		return err
	}
	if err := c.WriteKnownHosts(homeDir(), secrets); err != nil {
		return err
	}
	var names []string
	for _, n := range nodes {
		names, o.Own = append(names, n.Name), append(o.Own, n.Config)
	}
	if o.Hosts, o.Login, err = hostsOf(a, names); err != nil {
		return err
	}
	return apply.Run(ctx, o)
}
