package main

import (
	"fmt"

	"imgbuild/init/boot"
	"imgbuild/init/control"
)

func showVersion(args []string) error {
	if err := none("version", args); err != nil {
		return err
	}
	fmt.Println("shelf", version)
	var s boot.Status
	if err := control.Call(control.Socket, control.Request{Verb: "status"}, &s); err != nil {
		return nil // not on a node, or too early: the program's own version is what there is
	}
	fmt.Printf("system %s, slot %s\n", s.Version, s.Slot)
	return nil
}
