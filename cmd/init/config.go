package main

import (
	"fmt"
	"os"

	"imgbuild/init/config"
	"imgbuild/init/control"
	"imgbuild/init/fault"
	"imgbuild/init/sources"

	"gopkg.in/yaml.v3"
)

func configVerb(args []string) error {
	switch {
	case len(args) == 1 && args[0] == "reload":
		return control.Call(control.Socket, control.Request{Verb: "reload"}, nil)
	case len(args) == 1 && (args[0] == "confirm" || args[0] == "revert"):
		return control.Call(control.Socket, control.Request{Verb: "config-" + args[0], Limit: applyLimit}, nil)
	case len(args) >= 1 && (args[0] == "check" || args[0] == "apply"):
		return tryConfig(args[0], args[1:])
	case len(args) == 1 && args[0] == "--dump":
		return dump()
	}
	return fault.New(fault.Usage, "say shelf config --dump, reload, check, apply, confirm or revert", "config wants to know what to do")
}

// dump prints the merged configuration as YAML and what is wrong with it on standard error.
func dump() error {
	if _, err := os.ReadDir(sources.Store); err != nil {
		return fault.Wrap(fault.Input, err, "the configuration holds secrets and is for root alone", "use sudo")
	}
	cmdline, _ := os.ReadFile("/proc/cmdline")
	layers, problems := sources.Layers("/", string(cmdline))
	c, more := config.Merge(layers...)
	for _, p := range append(problems, more...) {
		fmt.Fprintln(os.Stderr, p)
	}
	out, err := yaml.Marshal(c)
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(out)
	return err
}
