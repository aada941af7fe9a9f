package main

import (
	"context"
	"os"

	"imgbuild/cmd/line"
	"imgbuild/init/contract/config"
)

var schema = line.Verb{
	Name:     "schema",
	Summary:  "Print the JSON Schema of cloud-config, for editors.",
	Examples: []string{"imgbuild schema > shelfos.schema.json"},
	Run: func(context.Context, *line.Args) error {
		_, err := os.Stdout.Write(config.Schema())
		return err
	},
}
