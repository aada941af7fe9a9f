package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"text/tabwriter"
)

func printHelp(w io.Writer, operands []string) error {
	if len(operands) > 0 && operands[0] != "help" {
		for _, v := range verbs {
			if v.name == operands[0] {
				return verbHelp(w, v)
			}
		}
		return notKnown("verb", operands[0], verbNames())
	}
	fmt.Fprint(w, `imgbuild makes flashable ShelfOS images out of Debian packages, without root, docker or loop devices.

  imgbuild [verb] [operand...] [key=value...]        without a verb: build

`)
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, v := range verbs {
		fmt.Fprintf(t, "  %s\t%s\n", strings.TrimSpace(v.name+" "+v.operands), v.summary)
	}
	fmt.Fprintf(t, "  help [VERB]\tThis text, or a verb's keys and examples.\n")
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprint(w, `
  imgbuild board=rpi4 role=worker
  imgbuild help build

Exit codes: 0 done, 1 internal, 2 usage, 3 input or config, 4 network, 5 verification, 6 device or disk full,
7 node unhealthy or rolled back, 130 interrupted.
`)
	return nil
}

func verbHelp(w io.Writer, v verb) error {
	fmt.Fprintf(w, "imgbuild %s\n\n%s\n\n", strings.TrimSpace(v.name+" "+v.operands), v.summary)
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, k := range v.keys {
		fmt.Fprintf(t, "  %s=%s\t%s\n", k.name, k.value, k.doc)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if len(v.keys) > 0 {
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w, "Examples:")
	for _, e := range v.examples {
		fmt.Fprintln(w, "  "+e)
	}
	return nil
}

var versionVerb = verb{
	name:     "version",
	summary:  "Say which imgbuild this is.",
	examples: []string{"imgbuild version"},
	do:       func(context.Context, *args) error { return printVersion(os.Stdout) },
}

// version is set by make; without it the module's own tells.
var version = ""

func printVersion(w io.Writer) error {
	v := version
	if v == "" {
		if info, ok := debug.ReadBuildInfo(); ok {
			v = info.Main.Version
		}
	}
	_, err := fmt.Fprintln(w, "imgbuild "+v)
	return err
}
