package main

import (
	"encoding/json"
	"os"
	"strings"

	"imgbuild/init/contract/fault"
)

// options takes the form of the output out of what was typed: -o json and output=json mean the same, text is the default.
func options(args []string) (words []string, asJSON bool, err error) {
	for i := 0; i < len(args); i++ {
		form, ok := "", true
		switch a := args[i]; {
		case a == "-o" || a == "--output":
			if i++; i == len(args) {
				return nil, false, fault.New(fault.Usage, "say -o json or -o text", "%s wants to know which form", a)
			}
			form = args[i]
		case strings.HasPrefix(a, "output="):
			form = a[len("output="):]
		case strings.HasPrefix(a, "--output="):
			form = a[len("--output="):]
		case a == "-ojson" || a == "-otext":
			form = a[2:]
		default:
			ok = false
			words = append(words, a)
		}
		switch {
		case !ok:
		case form == "json" || form == "text":
			asJSON = form == "json"
		default:
			return nil, false, fault.New(fault.Usage, "say json or text", "there is no output %q", form)
		}
	}
	return words, asJSON, nil
}

// plain is options for a verb that takes nothing else.
func plain(verb string, args []string) (asJSON bool, err error) {
	words, asJSON, err := options(args)
	if err != nil {
		return false, err
	}
	return asJSON, none(verb, words)
}

func printJSON(v any) error {
	e := json.NewEncoder(os.Stdout)
	e.SetIndent("", "\t")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
