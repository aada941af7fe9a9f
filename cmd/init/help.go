package main

import (
	"fmt"
	"os"
	"strings"

	"imgbuild/init/contract/fault"
)

func help(args []string) error {
	if len(args) > 0 {
		for _, v := range verbs() {
			if v.name == args[0] {
				text := "shelf " + strings.ReplaceAll(v.usage, " | ", "\nshelf "+v.name+" ") + "\n\n" + v.help + "\n"
				_, err := os.Stdout.Write(folded([]byte(text), 80))
				return err
			}
		}
		return fault.New(fault.Usage, "say shelf help", "unknown verb %q", args[0])
	}
	var b strings.Builder
	b.WriteString("shelf: the command of a ShelfOS node\n\n")
	for _, v := range verbs() {
		fmt.Fprintf(&b, "%-10s %s\n", v.name, v.help)
	}
	b.WriteString("\nshelf help VERB says what a verb takes. What prints data takes -o json as well. Orders take sudo or the group shelf. " +
		"Exit codes: 0 good, 1 internal, 2 usage, 3 configuration, 4 network, 5 verification, 6 device, 7 unhealthy.\n")
	_, err := os.Stdout.Write(folded([]byte(b.String()), 80))
	return err
}
