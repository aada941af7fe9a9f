package main

import "fmt"

func showVersion(args []string) error {
	asJSON, err := plain("version", args)
	if err != nil {
		return err
	}
	s, err := askStatus()
	known := err == nil // else not on a node, or too early: the program's own version is what there is
	if asJSON {
		return printJSON(map[string]string{"program": version, "system": s.Version, "slot": s.Slot})
	}
	fmt.Println("shelf", version)
	if known {
		fmt.Printf("system %s, slot %s\n", s.Version, s.Slot)
	}
	return nil
}
