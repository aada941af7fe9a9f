package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"imgbuild/init/contract/terminal"
)

// All that shelf prints passes through this file: names, details and answers come from services,
// disks and servers, and must not control the terminal.

// show prints values and a newline.
func show(a ...any) { fmt.Fprint(os.Stdout, terminal.Text(fmt.Sprintln(a...))) }

// showf prints by a format.
func showf(format string, a ...any) { fmt.Fprint(os.Stdout, terminal.Text(fmt.Sprintf(format, a...))) }

// screen is standard output for a writer of text; what would control a terminal is escaped, also in
// a pipe, at whose other end one is where the command was given to ssh. What goes into a file stays
// as it is. flush belongs at the end.
func screen() (w io.Writer, flush func() error) {
	if st, err := os.Stdout.Stat(); err == nil && st.Mode().IsRegular() {
		return os.Stdout, func() error { return nil }
	}
	safe := terminal.NewWriter(os.Stdout)
	return safe, safe.Flush
}

// printTable prints rows of cells in columns.
func printTable(rows [][]string) error { return writeTable(os.Stdout, rows) }

func writeTable(w io.Writer, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, cells := range rows {
		for i, c := range cells {
			if i > 0 {
				fmt.Fprint(t, "\t")
			}
			fmt.Fprint(t, terminal.Line(strings.ToValidUTF8(c, "\ufffd")))
		}
		fmt.Fprintln(t)
	}
	return t.Flush()
}

func printJSON(v any) error { return writeJSON(os.Stdout, v, "\t") }

// writeJSON writes v as JSON, each level indented by so much; without any it stays on one line.
func writeJSON(w io.Writer, v any, indent string) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", indent)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	_, err := io.WriteString(w, terminal.JSON(b.String()))
	return err
}
