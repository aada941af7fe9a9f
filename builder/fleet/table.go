package fleet

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"imgbuild/init/contract/terminal"
)

// Table prints the rows for people.
func Table(w io.Writer, rows []Row) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NODE\tROLE\tBOARD\tSLOT\tVERSION\tHEALTH\tUP\tTEMP\tFREE\tFILE\tWHAT IS WRONG")
	for _, r := range rows {
		for i, c := range r.cells() {
			if i > 0 {
				fmt.Fprint(t, "\t")
			}
			if c == "" {
				c = "-"
			}
			fmt.Fprint(t, terminal.Line(strings.ToValidUTF8(c, "\ufffd")))
		}
		fmt.Fprintln(t)
	}
	return t.Flush()
}

func (r Row) cells() []string {
	up, celsius, free, file := "", "", "", ""
	if r.Up > 0 {
		up = span(time.Duration(r.Up) * time.Second)
	}
	if r.Temperature != nil {
		celsius = fmt.Sprintf("%.0f °C", *r.Temperature)
	}
	if r.Free != nil {
		free = fmt.Sprintf("%.1f GiB", float64(*r.Free)/(1<<30))
	}
	if r.Differs != nil {
		if file = "same"; *r.Differs {
			file = "differs"
		}
	}
	return []string{r.Node, r.Role, r.Board, r.Slot, r.Version, r.Health, up, celsius, free, file, strings.Join(r.Wrong, "; ")}
}

// span is a duration in its two largest units.
func span(d time.Duration) string {
	minutes := int(d.Minutes())
	switch hours := minutes / 60; {
	case hours >= 24:
		return fmt.Sprintf("%dd %dh", hours/24, hours%24)
	case hours > 0:
		return fmt.Sprintf("%dh %dm", hours, minutes%60)
	}
	return fmt.Sprintf("%dm", minutes)
}
