package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"imgbuild/boards"
	"imgbuild/builder/recipe"
	"imgbuild/cmd/line"
	"imgbuild/init/contract/terminal"
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
		notes := map[string]string{} // by family
		for _, b := range all {
			note, err := recipe.LockNote(b.Family)
			if err != nil {
				return err
			}
			notes[b.Family] = note
		}
		if a.JSON() {
			type row struct {
				*boards.Board
				Lock string `json:"lock,omitempty"`
			}
			var rows []row
			for _, b := range all {
				rows = append(rows, row{b, notes[b.Family]})
			}
			return printJSON(rows)
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
		if err := t.Flush(); err != nil {
			return err
		}
		for _, f := range boards.Families() {
			if n := notes[f.Name]; n != "" {
				fmt.Printf("\nfamily %s: %s\n", f.Name, n)
			}
		}
		return nil
	},
}

func printJSON(v any) error {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "\t")
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := io.WriteString(os.Stdout, terminal.JSON(b.String()))
	return err
}
