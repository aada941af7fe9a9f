package main

import (
	"fmt"

	"imgbuild/init/fault"
)

func help(args []string) error {
	if len(args) > 0 {
		for _, v := range verbs() {
			if v.name == args[0] {
				fmt.Printf("shelf %s\n\n%s\n", v.usage, v.help)
				return nil
			}
		}
		return fault.New(fault.Usage, "say shelf help", "unknown verb %q", args[0])
	}
	fmt.Print("shelf: the command of a ShelfOS node\n\n")
	for _, v := range verbs() {
		fmt.Printf("  shelf %-30s %s\n", v.usage, v.help)
	}
	fmt.Print("\nWhat prints data takes -o json as well. Orders take sudo or the group shelf. Exit codes: 0 good, 1 internal, 2 usage, 3 configuration, 4 network, 5 verification,\n6 device, 7 unhealthy.\n")
	return nil
}
