package main

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
)

// verb is one word of the command line and all that is known of it.
type verb struct {
	name     string
	summary  string   // one line of help
	operands string   // how help shows them; "" for a verb without
	keys     []key    // that it takes
	examples []string // each a whole command
	do       func(context.Context, *args) error
	through  bool // words behind the first operand are for somebody else, but for the keys that it takes
}

// key is a key=value that a verb takes.
type key struct {
	name, value, doc string
}

// args is a command line, taken apart.
type args struct {
	verb     *verb // nil for help, of the first operand if there is one
	operands []string
	values   map[string]string
	table    []verb // all of them
}

// A word is key=value if and only if it looks like this, so that paths with "=" in them stay operands.
var keyValue = regexp.MustCompile(`^[a-z][a-z0-9-]*=`)

// parse reads: [verb] [operand...] [key=value...]. No verb means build. Errors name the nearest word that is known.
func parse(words []string) (*args, error) {
	a := &args{values: map[string]string{}, table: verbs}
	var given []string
	for _, w := range words {
		if a.passes(w) {
			a.operands = append(a.operands, w)
			continue
		}
		if keyValue.MatchString(w) {
			name, value, _ := strings.Cut(w, "=")
			if _, twice := a.values[name]; twice {
				return nil, fault.New(fault.Usage, "", "%s is given twice", name)
			}
			a.values[name] = value
			given = append(given, name)
			continue
		}
		if w == "-h" || w == "--help" {
			return &args{operands: a.operands, table: verbs}, nil
		}
		if strings.HasPrefix(w, "-") && len(w) > 1 {
			return nil, fault.New(fault.Usage, "settings are written key=value; see `imgbuild help`", "there is no option %s", w)
		}
		a.operands = append(a.operands, w)
	}
	if len(a.operands) == 0 {
		if len(words) == 0 {
			return a, nil // nothing at all: show the help
		}
		a.verb = &verbs[0]
	} else {
		name := a.operands[0]
		a.operands = a.operands[1:]
		if name == "help" {
			return a, nil
		}
		for i := range verbs {
			if verbs[i].name == name {
				a.verb = &verbs[i]
			}
		}
		if a.verb == nil {
			return nil, notKnown("verb", name, append(verbNames(), "help"))
		}
	}
	if len(a.operands) > 0 && a.verb.operands == "" {
		return nil, fault.New(fault.Usage, "see `imgbuild help "+a.verb.name+"`", "%s takes no %q; settings are written key=value", a.verb.name, a.operands[0])
	}
	var known []string
	for _, k := range a.verb.keys {
		known = append(known, k.name)
	}
	for _, name := range given {
		if !slices.Contains(known, name) {
			return nil, notKnown("key", name, known)
		}
	}
	if v, ok := a.values["output"]; ok && v != "json" && v != "text" {
		return nil, notKnown("output", v, []string{"json", "text"})
	}
	return a, nil
}

// passes says whether a word belongs to whom the verb hands its words on to. The operands so far begin with the verb.
func (a *args) passes(word string) bool {
	if len(a.operands) < 2 {
		return false
	}
	for _, v := range verbs {
		if v.name == a.operands[0] && v.through {
			name, _, _ := strings.Cut(word, "=")
			for _, k := range v.keys {
				if k.name == name && keyValue.MatchString(word) {
					return false
				}
			}
			return true
		}
	}
	return false
}

func (a *args) json() bool { return a.values["output"] == "json" }

// yesNo reads a key whose value is yes or no.
func yesNo(a *args, name string, fallback bool) (bool, error) {
	switch v, given := a.values[name]; {
	case !given:
		return fallback, nil
	case v == "yes", v == "no":
		return v == "yes", nil
	default:
		return false, notKnown(name, v, []string{"yes", "no"})
	}
}

func notKnown(what, name string, known []string) error {
	fix := "known are " + strings.Join(known, ", ")
	if near := config.NearestWord(name, known); near != "" {
		fix = fmt.Sprintf("did you mean %s?", near)
	}
	return fault.New(fault.Usage, fix, "there is no %s %q", what, name)
}

func verbNames() []string {
	var names []string
	for _, v := range verbs {
		names = append(names, v.name)
	}
	return names
}
