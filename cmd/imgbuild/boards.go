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
	"imgbuild/builder/debian"
	"imgbuild/cmd/line"
	"imgbuild/images"
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
			if err := lockNote(notes, b.Family); err != nil {
				return err
			}
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

// lockNote notes what is to be known of a family's embedded locks.
func lockNote(notes map[string]string, family string) error {
	for _, slot := range images.Slots() {
		data := images.Lock(family, slot)
		if data == nil {
			continue
		}
		l, err := debian.ParseLock("the embedded lock", data)
		if err != nil {
			return err
		}
		if !l.Security() {
			notes[family] = debian.NoSecurity + " of " + l.Date
		}
	}
	return nil
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
