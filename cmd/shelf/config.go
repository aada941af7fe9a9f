package main

import (
	"errors"
	"os"

	"imgbuild/cmd/line"
	"imgbuild/init/contract/terminal"
	"imgbuild/init/status/control"
	"imgbuild/init/status/support"
)

// configVerb shows the configuration or has it read again.
func configVerb(a *line.Args) error {
	open, err := a.Bool("secrets", false)
	if err != nil {
		return err
	}
	word, rest := "", a.Operands
	if len(rest) > 0 {
		word, rest = rest[0], rest[1:]
	}
	if _, given := a.Values["try"]; given && word != "apply" {
		return unknown("config "+word, "try=")
	}
	switch word {
	case "check", "apply":
		return tryConfig(word, rest, a.Values, a.JSON())
	case "confirm", "revert":
		r := control.Request{Verb: "config-" + word, Limit: applyLimit}
		if word == "confirm" && len(rest) == 1 {
			r.Args = map[string]string{"trial": rest[0]} // which imgbuild apply names
		} else if len(rest) > 0 {
			return unknown("config", rest[0])
		}
		return control.Call(control.Socket, r, nil)
	case "reload":
		if len(rest) > 0 {
			return unknown("config", rest[0])
		}
		return control.Call(control.Socket, control.Request{Verb: "reload"}, nil)
	case "", "dump":
	default:
		return unknown("config", word)
	}
	if err := rootOnly(); err != nil {
		return err
	}
	out, flush := screen()
	return errors.Join(support.OfNode(version, writeStatus).WriteConfig(out, open, a.JSON(), terminal.NewWriter(os.Stderr)), flush())
}
