package main

import (
	"strings"
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
		show(i.Line)
		gateways := []string{i.Gateway}
		if i.Gateway6 != "" && i.Gateway6 != i.Gateway {
			gateways = append(gateways, i.Gateway6)
		}
		for _, f := range [][2]string{{"mac", i.MAC}, {"gateway", strings.Join(gateways, ", ")}, {"dns", strings.Join(i.DNS, ", ")}} {
			if f[1] != "" {
				showf("  %-8s %s\n", f[0], f[1])
			}
		}
	}
	return nil
}
