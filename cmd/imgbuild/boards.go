package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"imgbuild/boards"
	"imgbuild/cmd/line"
)

var listBoards = line.Verb{
	Name:     "boards",
	Summary:  "List the boards, their roles, and how each was seen to work.",
	Keys:     []line.Key{line.Output},
	Examples: []string{"imgbuild boards", "imgbuild boards output=json"},
	Run: func(_ context.Context, a *line.Args) error {
		var all []*boards.Board
		for _, name := range boards.Names() {
			b, _, err := boards.Get(name)
			if err != nil {
				return err
			}
			all = append(all, b)
		}
		if a.JSON() {
			return printJSON(all)
		}
		t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "BOARD\tWHAT\tFAMILY\tROLES\tSEEN")
		for _, b := range all {
			roles := strings.Join(b.Roles, ", ")
			if roles == "" {
				roles = "none yet"
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", b.Name, b.Title, b.Family, roles, b.Seen)
		}
		return t.Flush()
	},
}

func printJSON(v any) error {
	enc := json.NewEncoder(os.Stdout)
	enc.SetIndent("", "\t")
	return enc.Encode(v)
}
