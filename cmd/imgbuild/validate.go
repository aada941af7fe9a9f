package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"imgbuild/builder/cluster"
	"imgbuild/builder/image"
	"imgbuild/cmd/line"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/terminal"
	"imgbuild/init/contract/userfile"
)

var lenientKey = line.Key{Name: "lenient", Value: "yes|no", Doc: "yes: a key that does not exist is a warning and is ignored, as on the node. Default no: it is an error."}

var validate = line.Verb{
	Name:     "validate",
	Operands: "FILE",
	Summary:  "Check a cloud-config, or cluster.yaml with all its nodes, with the node's own code; - reads standard input.",
	Keys:     []line.Key{boardKey, roleKey, lenientKey, line.Output},
	Examples: []string{"imgbuild validate config.yaml", "imgbuild validate config.yaml role=server", "imgbuild validate config.yaml board=rpi4 role=worker", "imgbuild validate cluster.yaml"},
	Run: func(_ context.Context, a *line.Args) error {
		if len(a.Operands) != 1 {
			return fault.New(fault.Usage, "run `imgbuild validate FILE`", "validate takes one file, not %d", len(a.Operands))
		}
		lenient, err := a.Bool("lenient", false)
		if err != nil {
			return err
		}
		name := a.Operands[0]
		var data []byte
		if name == "-" {
			name = "standard input"
			if data, err = io.ReadAll(os.Stdin); err != nil {
				err = userfile.Wrong("", name, err)
			}
		} else {
			data, err = userfile.Read("", name)
		}
		if err != nil {
			return err
		}
		var problems []config.Problem
		if a.Operands[0] != "-" && cluster.IsFile(name, data) {
			problems, err = validateCluster(a, name)
		} else {
			problems, err = image.ValidateFor(name, data, a.Values["board"], a.Values["role"])
		}
		if err != nil {
			return err
		}
		if !lenient {
			problems = config.Strict(problems)
		}
		if a.JSON() {
			if err := printJSON(append([]config.Problem{}, problems...)); err != nil { // none is [], not null
				return err
			}
		} else {
			for _, p := range problems {
				fmt.Println(terminal.Text(p.String()))
			}
		}
		if worst, any := config.Worst(problems); any && worst == config.Error {
			return fault.New(fault.Input, "correct what is marked as an error", "%s has errors", name)
		}
		if !a.JSON() {
			fmt.Println(name + ": ok")
		}
		return nil
	},
}
