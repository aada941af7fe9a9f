package main

import (
	"context"
	"os"

	"imgbuild/builder/cluster"
	"imgbuild/cmd/line"
	"imgbuild/init/contract/config"
)

var schema = line.Verb{
	Name:     "schema",
	Operands: "[cluster]",
	Words:    "cluster",
	Summary:  "Print the JSON Schema of cloud-config, or of cluster.yaml, for editors.",
	Examples: []string{"imgbuild schema > shelfos.schema.json", "imgbuild schema cluster > cluster.schema.json"},
	Run: func(_ context.Context, a *line.Args) error {
		text := config.Schema()
		switch {
		case len(a.Operands) == 0:
		case len(a.Operands) == 1 && a.Operands[0] == "cluster":
			var err error
			if text, err = cluster.Schema(); err != nil {
				return err
			}
		default:
			return line.NotKnown("schema", a.Operands[0], []string{"cluster"})
		}
		_, err := os.Stdout.Write(text)
		return err
	},
}
