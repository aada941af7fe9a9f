package main

import (
	"context"
	"os"
	"os/signal"
	"time"

	"imgbuild/cmd/line"
	"imgbuild/init/contract/fault"
	"imgbuild/init/upgrade/plan"

	"golang.org/x/sys/unix"
)

// planVerb is `shelf upgrade --plan`, the entry point of the container of a Plan.
func planVerb(a *line.Args) error {
	if len(a.Operands) > 0 || len(a.Values) > 1 {
		return fault.New(fault.Usage, "run `shelf help upgrade`", "--plan stands alone: the bundle is in the container")
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	j := plan.Job{
		Host: plan.HostDir, Bundles: plan.BundleDir, Shelf: plan.NodeShelf(plan.HostDir), Pause: 5 * time.Second,
		Say: func(text string) { show(text) }, Show: progress(os.Stderr),
		// Status 0 would mark the node as upgraded, another one as failed; the reboot ends this.
		Rebooting: func() { select {} },
	}
	return j.Run(ctx)
}
