package main

import (
	"fmt"
	"strings"
)

// networkVerb shows the interfaces with what was configured or leased.
func networkVerb(args []string) error {
	asJSON, err := plain("network", args)
	if err != nil {
		return err
	}
	s, err := askStatus()
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(s.Network)
	}
	for _, i := range s.Network {
		fmt.Println(i.Line)
		for _, f := range [][2]string{{"mac", i.MAC}, {"gateway", i.Gateway}, {"dns", strings.Join(i.DNS, ", ")}} {
			if f[1] != "" {
				fmt.Printf("  %-8s %s\n", f[0], f[1])
			}
		}
	}
	return nil
}
