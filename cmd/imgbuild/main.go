// Command imgbuild makes ShelfOS images out of Debian packages. One file per verb; what the verbs
// do lives in builder.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"imgbuild/cmd/line"
	"imgbuild/init/contract/fault"
)

// program is the command; the first verb is meant when none is given.
func program() *line.Program {
	return &line.Program{
		Name:    "imgbuild",
		Summary: "imgbuild makes flashable ShelfOS images out of Debian packages, without root, docker or loop devices.",
		Usage:   "imgbuild [verb] [operand...] [key=value...]        without a verb: build",
		Default: "build",
		Verbs: []line.Verb{build, plan, run, lock, bundleVerb, keygen, passwd, listBoards, listRoles, newVerb, secretsVerb, validate, flashVerb, applyConfig, statusVerb, upgradeVerb, firmwareVerb, migrateNode, nodeVerb, rebootVerb, poweroffVerb, kubeconfigVerb, tokenVerb, schema,
			line.Completion("imgbuild"), versionVerb},
		More: "For example: imgbuild board=rpi4 role=worker\n`imgbuild help VERB` lists the keys of a verb.\n\n" +
			"Exit codes: 0 done, 1 internal, 2 usage, 3 input or config, 4 network, 5 verification, 6 device or disk full, " +
			"7 node unhealthy or rolled back, 130 interrupted.",
	}
}

func main() {
	ends := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as nohup has it
		ends = append(ends, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	context.AfterFunc(ctx, stop) // a second one ends immediately, without tidying up
	err := dispatch(ctx, os.Args[1:])
	interrupted := ctx.Err() != nil
	stop()
	if err == nil {
		return
	}
	if interrupted && err == context.Canceled { // not wrapped: there is nothing to add
		err = errors.New("interrupted")
	}
	what, fix := fault.Parts(err)
	newScreen(os.Stderr).fail(strings.TrimSuffix(what, ": "+context.Canceled.Error()), fix)
	if interrupted && !errors.Is(err, context.DeadlineExceeded) {
		os.Exit(int(fault.Interrupted))
	}
	os.Exit(fault.Code(err))
}

func dispatch(ctx context.Context, words []string) error {
	if len(words) == 1 && words[0] == "--version" {
		return printVersion(os.Stdout)
	}
	a, err := program().Parse(words)
	if err != nil {
		return err
	}
	if a.Verb == nil {
		return a.PrintHelp(os.Stdout)
	}
	if err := a.Empty(); err != nil {
		return err
	}
	return a.Verb.Run(ctx, a)
}

var versionVerb = line.Verb{
	Name:     "version",
	Summary:  "Print the version of imgbuild.",
	Examples: []string{"imgbuild version"},
	Run:      func(context.Context, *line.Args) error { return printVersion(os.Stdout) },
}

// version is set by make; without it it is the module's own.
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
