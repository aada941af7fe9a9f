package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"imgbuild/builder/debian"
	"imgbuild/builder/image"
	"imgbuild/builder/order"
	"imgbuild/builder/recipe"
	"imgbuild/cmd/line"
	"imgbuild/init/contract/terminal"
)

var plan = line.Verb{
	Name:     "plan",
	Summary:  "Show what an image would be made of: packages, versions, sizes, services, disk. Downloads nothing but an index, if even that.",
	Keys:     []line.Key{boardKey, roleKey, k3sKey, extraKey, withoutKey, lockKey, mirrorKey, cacheKey, line.Output},
	Examples: []string{"imgbuild plan board=rpi4 role=worker", "imgbuild plan board=rpi4 role=server output=json"},
	Run:      doPlan,
}

func doPlan(ctx context.Context, a *line.Args) error {
	s := newScreen(os.Stderr)
	r, err := order.Look(ctx, planOf(a), a.Values["k3s"], a.Values["lock"], s)
	s.Done()
	if err != nil {
		return err
	}
	if a.JSON() {
		return printJSON(struct {
			*recipe.Planned
			Packages []debian.Locked      `json:"packages"`
			Suites   []debian.LockedSuite `json:"suites"`
			Disk     []image.Area         `json:"disk"`
		}{r, r.Lock.Packages, r.Lock.Suites, image.Areas()})
	}
	return printPlan(r)
}

func printPlan(r *recipe.Planned) error {
	var fetch, installed int64
	for _, p := range r.Lock.Packages {
		fetch += p.Size
		installed += p.InstalledSize << 10
	}
	fmt.Printf("%s (%s), %s\n", r.Board.Name, r.Board.Title, r.Role.Title)
	fmt.Printf("family %s, slot %s for roles %s; k3s %s %s\n\n", r.Family.Name, r.Slot.Name, strings.Join(r.Roles, ", "), r.K3s.Version, r.K3s.Source)
	fmt.Printf("services: %s\nhealthy when\n  %s\n\n", strings.Join(r.Role.Services, ", "), strings.Join(r.HealthyWhen(), ";\n  "))
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "AREA\tSTART\tSIZE\tWHAT")
	for _, a := range image.Areas() {
		long := size(a.Size)
		if a.Size == 0 {
			long = "the rest"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", a.Name, size(a.Start), long, a.What)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Printf("\n%d packages of %s, %s to fetch, %s installed before the strip:\n", len(r.Lock.Packages), r.Lock.Date, size(fetch), size(installed))
	t = tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, p := range r.Lock.Packages {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", p.Name, terminal.Text(p.Version), size(p.Size), p.Archive)
	}
	return t.Flush()
}
