package main

import (
	"bytes"
	"io"
	"os"
	"time"

	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/userfile"
	"imgbuild/init/status/control"
)

// applyLimit is how long PID 1 has to look at a configuration.
const applyLimit = 60 * time.Second

// tryConfig hands a configuration to PID 1: word is check or apply, rest is FILE (standard input
// without one), values may have try.
func tryConfig(word string, rest []string, values map[string]string, asJSON bool) (err error) {
	if len(rest) > 1 {
		return unknown("config", rest[1])
	}
	file, words := "-", map[string]string{}
	if len(rest) == 1 {
		file = rest[0]
	}
	if try, given := values["try"]; given {
		words["try"] = try
	}
	var text []byte
	if file == "-" {
		text, err = io.ReadAll(io.LimitReader(os.Stdin, config.MaxSize+1))
	} else {
		text, err = userfile.Read("", file)
	}
	if err != nil {
		return fault.Wrap(err, fault.Input, "", "reading the configuration")
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return fault.New(fault.Input, "give a file, or the text on standard input", "there is no configuration in it")
	}
	words["text"] = string(text)
	var plan config.Plan
	if err := control.Call(control.Socket, control.Request{Verb: "config-" + word, Args: words, Limit: applyLimit}, &plan); err != nil {
		return err
	}
	if asJSON {
		return printJSON(plan)
	}
	for _, p := range plan.Problems {
		show(p)
	}
	for _, c := range plan.Changes {
		show(c)
	}
	if len(plan.Changes) == 0 {
		show("nothing changes")
	}
	if plan.Try > 0 {
		showf("It is taken back in %d s, unless you log in again over ssh and run: sudo shelf config confirm\n", plan.Try)
	}
	return nil
}
