package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"imgbuild/cmd/line"
	"imgbuild/init/contract/fault"
	"imgbuild/init/status/control"

	"golang.org/x/term"
)

// kept is what a reset leaves.
const kept = "the imported configuration, the node's name, its ssh host keys, its machine id and its k3s node password, and another disk that data.device names"

// reset orders a reset, after asking.
func reset(a *line.Args) error {
	if y := a.Values["yes"]; y != "" && y != "yes" {
		return unknown("reset", "yes="+y)
	}
	yes, asJSON := a.Values["yes"] == "yes", a.JSON()
	if !yes {
		if !term.IsTerminal(int(os.Stdin.Fd())) {
			return fault.New(fault.Usage, "run shelf reset yes=yes", "reset deletes everything on the data partition and there is nobody to ask; kept are %s", kept)
		}
		host, _ := os.Hostname()
		fmt.Fprintf(os.Stderr, "Everything on the data partition of %s is deleted: k3s and its data, volumes, home directories, logs.\n"+
			"Kept are %s. The node reboots.\nWrite the name of the node to go on: ", host, kept)
		answer, _ := bufio.NewReader(os.Stdin).ReadString('\n')
		if strings.TrimSpace(answer) != host {
			return fault.New(fault.Usage, "", "nothing was done")
		}
	}
	if err := control.Call(control.Socket, control.Request{Verb: "reset"}, nil); err != nil {
		return err
	}
	return said("reset", asJSON)
}
