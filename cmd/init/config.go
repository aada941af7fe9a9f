package main

import (
	"os"

	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/settings/sources"
	"imgbuild/init/status/control"
)

// configVerb shows the configuration or has it read again.
func configVerb(args []string) error {
	if len(args) > 0 {
		switch args[0] {
		case "confirm", "revert":
			r := control.Request{Verb: "config-" + args[0], Limit: applyLimit}
			if args[0] == "confirm" && len(args) == 2 {
				r.Args = map[string]string{"trial": args[1]} // which imgbuild apply names
			}
			return control.Call(control.Socket, r, nil)
		case "check", "apply":
			return tryConfig(args[0], args[1:])
		}
	}
	words, asJSON, err := options(args)
	if err != nil {
		return err
	}
	open := false
	for _, w := range words {
		switch w {
		case "reload":
			return control.Call(control.Socket, control.Request{Verb: "reload"}, nil)
		case "--dump", "dump", "secrets=no":
		case "secrets=yes":
			open = true
		default:
			return fault.New(fault.Usage, "say shelf help config", "config takes no %q", w)
		}
	}
	if err := rootOnly(); err != nil {
		return err
	}
	return writeConfig(os.Stdout, open, asJSON, os.Stderr)
}

// mergedHere reads all sources as PID 1 does.
func mergedHere() (*config.Config, []config.Problem) {
	cmdline, _ := os.ReadFile("/proc/cmdline")
	layers, problems := sources.Layers("/", string(cmdline))
	c, more := config.Merge(layers...)
	return c, append(problems, more...)
}
