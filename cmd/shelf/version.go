package main

func showVersion(asJSON bool) error {
	s, err := askStatus()
	known := err == nil // else not on a node, or too early
	if !known {
		s.Program = version
	}
	if asJSON {
		return printJSON(map[string]string{"program": s.Program, "system": s.Version, "slot": s.Slot})
	}
	show("shelf", s.Program)
	if known {
		showf("system %s, slot %s\n", s.Version, s.Slot)
	}
	return nil
}
