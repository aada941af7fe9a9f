package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/status/control"
)

// applyLimit is how long PID 1 has to look at a configuration.
const applyLimit = 60 * time.Second

// tryConfig hands a configuration to PID 1: word is check or apply, args are FILE (standard input without one), try= and
// -o json.
func tryConfig(word string, args []string) error {
	args, asJSON, err := options(args)
	if err != nil {
		return err
	}
	file, words := "-", map[string]string{}
	for _, a := range args {
		switch name, value, isSetting := strings.Cut(a, "="); {
		case isSetting && name == "try" && word == "apply":
			words["try"] = value
		case !isSetting && file == "-":
			file = a
		default:
			return fault.New(fault.Usage, "say shelf config "+word+" [FILE] [try=SECONDS|no]", "config %s does not know %q", word, a)
		}
	}
	var text []byte
	if file == "-" {
		text, err = io.ReadAll(io.LimitReader(os.Stdin, config.MaxSize+1))
	} else {
		text, err = os.ReadFile(file)
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
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", "\t")
		return e.Encode(plan)
	}
	for _, p := range plan.Problems {
		fmt.Println(p)
	}
	for _, c := range plan.Changes {
		fmt.Println(c)
	}
	if len(plan.Changes) == 0 {
		fmt.Println("nothing changes")
	}
	if plan.Try > 0 {
		fmt.Printf("It is taken back in %d s, unless you log in anew over ssh and say: sudo shelf config confirm\n", plan.Try)
	}
	return nil
}
