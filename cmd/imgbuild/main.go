// Command imgbuild makes ShelfOS images out of Debian packages. One file per verb; what the verbs do lives in builder.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"imgbuild/init/contract/fault"
)

// verbs in the order in which help shows them; the first is meant when none is given.
var verbs = []verb{build, plan, run, lock, listBoards, listRoles, validate, applyConfig, migrateNode, nodeVerb, kubeconfigVerb, schema, completion, versionVerb}

func main() {
	ends := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as nohup has it
		ends = append(ends, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	context.AfterFunc(ctx, stop) // who says it twice does not want to wait for the tidying up
	err := dispatch(ctx, os.Args[1:])
	interrupted := ctx.Err() != nil
	stop()
	if err == nil {
		return
	}
	if interrupted && err == context.Canceled { // not wrapped: there is nothing more to say
		err = errors.New("interrupted")
	}
	fmt.Fprintln(os.Stderr, "imgbuild: "+strings.TrimSuffix(err.Error(), ": "+context.Canceled.Error()))
	if interrupted && !errors.Is(err, context.DeadlineExceeded) {
		os.Exit(int(fault.Interrupted))
	}
	os.Exit(fault.Code(err))
}

func dispatch(ctx context.Context, words []string) error {
	if len(words) == 1 && words[0] == "--version" {
		return printVersion(os.Stdout)
	}
	a, err := parse(words)
	if err != nil {
		return err
	}
	if a.verb == nil {
		return printHelp(os.Stdout, a.operands)
	}
	return a.verb.do(ctx, a)
}
