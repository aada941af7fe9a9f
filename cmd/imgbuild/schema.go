package main

import (
	"context"
	"os"

	"imgbuild/init/contract/config"
)

var schema = verb{
	name:     "schema",
	summary:  "Print the JSON Schema of cloud-config, for editors.",
	examples: []string{"imgbuild schema > shelfos.schema.json"},
	do: func(context.Context, *args) error {
		_, err := os.Stdout.Write(config.Schema())
		return err
	},
}
