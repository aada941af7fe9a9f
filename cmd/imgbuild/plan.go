package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"imgbuild/builder/debian"
	"imgbuild/builder/image"
	"imgbuild/builder/recipe"
	"imgbuild/cmd/line"
)

var plan = line.Verb{
	Name:     "plan",
	Summary:  "Show what an image would be made of: packages, versions, sizes, services, disk. Downloads nothing but an index, if even that.",
	Keys:     []line.Key{boardKey, roleKey, k3sKey, extraKey, withoutKey, lockKey, mirrorKey, cacheKey, line.Output},
	Examples: []string{"imgbuild plan board=rpi4 role=worker", "imgbuild plan board=rpi4 role=server output=json"},
	Run: func(ctx context.Context, a *line.Args) error {
		s, err := open(a)
		if err != nil {
			return err
		}
		why, err := s.recipe.TakeLock(a.Values["lock"])
		if err != nil {
			return err
		}
		if p := s.recipe.Passed; p != "" {
			s.screen.warn(p)
		}
		if s.recipe.Lock == nil {
			s.screen.warn("planning with a new lock: " + why)
			ix, err := s.client.Index(ctx, s.recipe.Family.Arch, s.recipe.Request().Suites)
			if err != nil {
				return err
			}
			if s.recipe.Lock, err = ix.Lock(s.recipe.Request()); err != nil {
				return err
			}
		}
		s.screen.done()
		if s.recipe.K3s, err = s.recipe.PlanK3s(a.Values["k3s"]); err != nil {
			return err
		}
		if a.JSON() {
			return printJSON(struct {
				*recipe.Recipe
				Packages []debian.Locked      `json:"packages"`
				Suites   []debian.LockedSuite `json:"suites"`
				Disk     []image.Area         `json:"disk"`
			}{s.recipe, s.recipe.Lock.Packages, s.recipe.Lock.Suites, image.Areas()})
		}
		return printPlan(s.recipe)
	},
}

func printPlan(r *recipe.Recipe) error {
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
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", p.Name, p.Version, size(p.Size), p.Archive)
	}
	return t.Flush()
}
