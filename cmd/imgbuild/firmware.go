package main

import (
	"context"
	"fmt"

	"imgbuild/builder/upgrade"
	"imgbuild/cmd/line"
	"imgbuild/init/contract/fault"
)

var firmwareVerb = line.Verb{
	Name:     "firmware",
	Operands: "DEVICE|IMG",
	Summary:  "Make the other boot partition of a card boot: the way back from a firmware upgrade after which a node does not start. Running it again undoes it.",
	Keys:     []line.Key{line.Output},
	Examples: []string{"imgbuild firmware /dev/sdb"},
	Run:      func(_ context.Context, a *line.Args) error { return doFirmware(a) },
}

func doFirmware(a *line.Args) error {
	if len(a.Operands) != 1 {
		return fault.New(fault.Usage, "see `imgbuild help firmware`", "firmware takes one card or image")
	}
	name := a.Operands[0]
	to, err := upgrade.SwapCard(name)
	if err != nil {
		return fault.Wrap(err, fault.Device, "", "%s", name)
	}
	if a.JSON() {
		return printJSON(map[string]string{"disk": name, "boot": to.String()})
	}
	fmt.Printf("%s: the BOOT in the %s place boots from now on\n", name, to)
	return nil
}
