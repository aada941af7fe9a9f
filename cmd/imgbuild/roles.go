package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"imgbuild/boards"
	"imgbuild/cmd/line"
	"imgbuild/images"
)

var listRoles = line.Verb{
	Name:     "roles",
	Summary:  "List the roles, what each runs, and on which boards.",
	Keys:     []line.Key{line.Output},
	Examples: []string{"imgbuild roles", "imgbuild roles output=json"},
	Run: func(_ context.Context, a *line.Args) error {
		type row struct {
			*images.Role
			Boards []string `json:"boards"`
		}
		var all []row
		for _, name := range images.Names() {
			r, _, err := images.Get(name)
			if err != nil {
				return err
			}
			one := row{Role: r}
			for _, board := range boards.Names() {
				b, _, err := boards.Get(board)
				if err != nil {
					return err
				}
				if ok, _ := b.Supports(name); ok {
					one.Boards = append(one.Boards, board)
				}
			}
			all = append(all, one)
		}
		if a.JSON() {
			return printJSON(all)
		}
		t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "ROLE\tWHAT\tRUNS\tNEEDS\tBOARDS")
		for _, r := range all {
			needs := strings.Join(r.Config, ", ")
			if needs == "" {
				needs = "-"
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", r.Name, r.Title, strings.Join(r.Services, ", "), needs, strings.Join(r.Boards, ", "))
		}
		return t.Flush()
	},
}
