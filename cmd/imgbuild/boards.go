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
	Summary:  "List the boards, their roles, how each was seen to work, and what an upgrade can and cannot break on it.",
	Keys:     []line.Key{line.Output},
	Examples: []string{"imgbuild boards", "imgbuild boards output=json"},
	Run: func(_ context.Context, a *line.Args) error {
		var all []*boards.Board
		own := map[string][]boards.Guarantee{} // by board
		for _, name := range boards.Names() {
			b, f, err := boards.Get(name)
			if err != nil {
				return err
			}
			all, own[name] = append(all, b), b.Guarantees(f)
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
				Lock       string             `json:"lock,omitempty"`
				Guarantees []boards.Guarantee `json:"guarantees"`
			}
			var rows []row
			for _, b := range all {
				rows = append(rows, row{b, notes[b.Family], append(boards.Common(), own[b.Name]...)})
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
		fmt.Println("\nWhat a running node writes, and what a failure needs:")
		printGuarantees("all boards", boards.Common())
		for _, b := range all {
			printGuarantees(b.Name, own[b.Name])
		}
		return nil
	},
}

// printGuarantees prints what holds for a board, a line each.
func printGuarantees(board string, list []boards.Guarantee) {
	fmt.Printf("  %s\n", board)
	for _, g := range list {
		if g.Written != "" {
			fmt.Printf("    %s: %s; if it fails: %s\n", g.Part, g.Written, g.Failure)
		} else {
			fmt.Printf("    %s: %s\n", g.Part, g.Failure)
		}
	}
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
