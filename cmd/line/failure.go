package line

import (
	"strings"

	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/mask"
	"imgbuild/init/contract/terminal"
)

// Failure is an error as every command shows it: what went wrong and, where that is known, how to
// fix it; secrets masked, lines folded to width columns (0 for not at all). paint gives the
// headings their colour; nil for none.
func Failure(what, fix string, width int, paint func(string) string) string {
	var out strings.Builder
	show := func(heading, text string) {
		text = terminal.Text(mask.Prose(text))
		if width > 0 {
			text = Fold(text, len(heading), width)
		}
		if paint != nil {
			heading = paint(heading)
		}
		out.WriteString(heading + text + "\n")
	}
	show(fault.WhatHeading, what)
	if fix != "" {
		show(fault.FixHeading, fix)
	}
	return out.String()
}
