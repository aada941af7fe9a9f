package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"imgbuild/init/boot"
	"imgbuild/init/control"
	"imgbuild/init/fault"
)

func status(args []string) error {
	asJSON := len(args) == 1 && args[0] == "output=json"
	if !asJSON {
		if err := none("status", args); err != nil {
			return err
		}
	}
	var s boot.Status
	if err := control.Call(control.Socket, control.Request{Verb: "status"}, &s); err != nil {
		return err
	}
	if asJSON {
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", "\t")
		return e.Encode(s)
	}
	fmt.Printf("%s: %s on %s\nsystem %s in slot %s, program %s, up %v\n", s.Hostname, s.Role, s.Model, s.Version, s.Slot, s.Program,
		time.Duration(s.Up*float64(time.Second)).Round(time.Second))
	if s.Degraded {
		fmt.Println("DEGRADED: the data partition is lost, nothing is kept")
	}
	fmt.Print("\nsteps:")
	for _, st := range s.Steps {
		fmt.Printf(" %s %.2fs", st.Name, st.Seconds)
		if !st.OK {
			fmt.Print(" (failed)")
		}
	}
	fmt.Println()
	for _, n := range s.Network {
		fmt.Println("network:", n)
	}
	bad := false
	for _, u := range s.Services {
		fmt.Printf("service %s: %s %s\n", u.Name, u.Phase, u.Detail)
		bad = bad || u.Phase == "failed"
	}
	for _, p := range s.Problems {
		fmt.Printf("\nwhat went wrong: %s\n", p.What)
		if p.Fix != "" {
			fmt.Printf("how to fix it:   %s\n", p.Fix)
		}
	}
	if bad || s.Degraded {
		return fault.New(fault.Unhealthy, "look at /var/log/shelf", "the node is not healthy")
	}
	return nil
}
