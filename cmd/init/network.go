package main

import (
	"fmt"
	"strings"

	"imgbuild/init/contract/terminal"
)

// networkVerb shows the interfaces with what was configured or leased.
func networkVerb(asJSON bool) error {
	s, err := askStatus()
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(s.Network)
	}
	for _, i := range s.Network {
		fmt.Println(terminal.Text(i.Line))
		for _, f := range [][2]string{{"mac", i.MAC}, {"gateway", i.Gateway}, {"dns", strings.Join(i.DNS, ", ")}} {
			if f[1] != "" {
				fmt.Printf("  %-8s %s\n", f[0], terminal.Text(f[1]))
			}
		}
	}
	return nil
}
