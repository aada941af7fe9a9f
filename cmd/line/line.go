// Package line is the command line of both programs: one table of verbs gives the grammar, the
// help, the completions of three shells and the man page.
//
// The grammar is [verb] [operand...] [key=value...] in any order. A key may have a short form: -o
// json, -ojson, --output json and --output=json are output=json; a key that is a flag takes no
// value, -f is follow=yes.
package line

import (
	"context"
	"maps"
	"regexp"
	"slices"
	"strings"

	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
)

// Program is a command with its verbs.
type Program struct {
	Name    string
	Summary string // one sentence
	Usage   string // the line below it
	Default string // the verb that is meant when keys are given and no verb; "" for none
	Verbs   []Verb // in the order of the help
	More    string // what is below the verbs in the help
}

// Verb is one word of the command line and all that is known of it.
type Verb struct {
	Name     string
	Summary  string // one line of help
	Operands string // how help shows them; "" for a verb that takes none
	Words    string // the operands that a shell completes, with blanks between them; $(command) asks a command for them
	Keys     []Key
	Examples []string // each a whole command
	Run      func(context.Context, *Args) error
	Through  []string // not nil: the words after the first operand are for another program, whose verbs these are, except for Keys
	Lax      bool     // options that are not known are passed over
}

// Key is a key=value that a verb takes.
type Key struct {
	Name, Value, Doc string
	Short            string // a letter for its short form; "" for none
	Flag             bool   // its option takes no value and means yes
	Words            []string
}

// Output is the key that every verb takes which prints data.
var Output = Key{Name: "output", Value: "text|json", Short: "o", Doc: "How data is printed."}

// Args is a command line, taken apart.
type Args struct {
	Program  *Program
	Verb     *Verb // nil for the help, of the first operand if there is one
	Operands []string
	Values   map[string]string
}

// A word is key=value if and only if it looks like this, so that paths with "=" in them stay
// operands.
var keyValue = regexp.MustCompile(`^[a-z][a-z0-9-]*=`)

// Parse takes the words after the program's name apart. Errors are of kind Usage and name the
// nearest word that is known.
func (p *Program) Parse(words []string) (*Args, error) {
	a := &Args{Program: p, Values: map[string]string{}}
	var given, options []string // keys in order; options without a key
	short := map[string]bool{}  // keys that were given as options
	set := func(name, value string) error {
		if _, twice := a.Values[name]; twice {
			return fault.New(fault.Usage, "", "%s is given twice", name)
		}
		a.Values[name] = value
		given = append(given, name)
		return nil
	}
	for i := 0; i < len(words); i++ {
		w := words[i]
		if p.passes(a.Operands, w) {
			a.Operands = append(a.Operands, w)
			continue
		}
		if keyValue.MatchString(w) {
			name, value, _ := strings.Cut(w, "=")
			if err := set(name, value); err != nil {
				return nil, err
			}
			continue
		}
		if w == "-h" || w == "--help" {
			return &Args{Program: p, Operands: a.Operands}, nil
		}
		if !strings.HasPrefix(w, "-") || w == "-" {
			a.Operands = append(a.Operands, w)
			continue
		}
		k, value, has := p.option(w)
		switch {
		case k == nil:
			options = append(options, w)
			continue
		case !has && k.Flag:
			value = "yes"
		case !has:
			if i++; i == len(words) {
				return nil, fault.New(fault.Usage, "write "+k.Name+"="+k.Value, "%s needs a value", w)
			}
			value = words[i]
		}
		if err := set(k.Name, value); err != nil {
			return nil, err
		}
		short[k.Name] = true
	}
	err := p.pick(a, len(words) == 0)
	if len(options) > 0 && (a.Verb == nil || !a.Verb.Lax) { // a word after it may be its value, and no verb
		return nil, fault.New(fault.Usage, "settings are written key=value; run `"+p.Name+" help`", "there is no option %s", options[0])
	}
	if err != nil || a.Verb == nil {
		return a, err
	}
	v := a.Verb
	if len(a.Operands) > 0 && v.Operands == "" {
		return nil, fault.New(fault.Usage, "settings are written key=value; run `"+p.Name+" help "+v.Name+"`", "%s takes no %q", v.Name, a.Operands[0])
	}
	var known []string
	for _, k := range v.Keys {
		known = append(known, k.Name)
	}
	for _, name := range given {
		if !slices.Contains(known, name) {
			if v.Lax && short[name] {
				delete(a.Values, name)
				continue
			}
			return nil, NotKnown("key", name, known)
		}
	}
	if o, ok := a.Values["output"]; ok && o != "json" && o != "text" {
		return nil, NotKnown("output", o, []string{"json", "text"})
	}
	return a, nil
}

// pick finds the verb among the operands.
func (p *Program) pick(a *Args, empty bool) error {
	if len(a.Operands) == 0 {
		if !empty && p.Default != "" {
			a.Verb = p.verb(p.Default)
		}
		return nil // nothing at all: the help
	}
	name := a.Operands[0]
	a.Operands = a.Operands[1:]
	if name == "help" {
		return nil
	}
	if a.Verb = p.verb(name); a.Verb == nil {
		return NotKnown("verb", name, append(p.Names(), "help"))
	}
	return nil
}

func (p *Program) verb(name string) *Verb {
	for i := range p.Verbs {
		if p.Verbs[i].Name == name {
			return &p.Verbs[i]
		}
	}
	return nil
}

// option finds the key of an option, and the value in the same word if it has one. A
// letter or a name means the same for every verb.
func (p *Program) option(w string) (k *Key, value string, has bool) {
	name, long := strings.CutPrefix(w, "--")
	if long {
		name, value, has = strings.Cut(name, "=")
	}
	for i := range p.Verbs {
		for j := range p.Verbs[i].Keys {
			k := &p.Verbs[i].Keys[j]
			switch {
			case k.Short == "" && !k.Flag:
			case long && k.Name == name:
				return k, value, has
			case !long && k.Short != "" && w == "-"+k.Short:
				return k, "", false
			case !long && k.Short != "" && !k.Flag && strings.HasPrefix(w, "-"+k.Short):
				return k, w[2:], true
			}
		}
	}
	return nil, "", false
}

// passes reports whether a word belongs to the program that a verb hands its words on to. The
// operands so far begin with the verb.
func (p *Program) passes(operands []string, word string) bool {
	if len(operands) < 2 {
		return false
	}
	v := p.verb(operands[0])
	if v == nil || v.Through == nil {
		return false
	}
	name, _, _ := strings.Cut(word, "=")
	return !keyValue.MatchString(word) || !slices.ContainsFunc(v.Keys, func(k Key) bool { return k.Name == name })
}

// Names are those of the verbs.
func (p *Program) Names() (names []string) {
	for _, v := range p.Verbs {
		names = append(names, v.Name)
	}
	return names
}

// JSON reports whether data is printed as JSON.
func (a *Args) JSON() bool { return a.Values["output"] == "json" }

// Bool reads a key whose value is yes or no.
func (a *Args) Bool(name string, fallback bool) (bool, error) {
	switch v, given := a.Values[name]; {
	case !given:
		return fallback, nil
	case v == "yes", v == "no":
		return v == "yes", nil
	default:
		return false, NotKnown(name, v, []string{"yes", "no"})
	}
}

// Empty reports a key that was given without a value; nil if there is none.
func (a *Args) Empty() error {
	for _, name := range slices.Sorted(maps.Keys(a.Values)) {
		if a.Values[name] == "" {
			return fault.New(fault.Usage, "give one, or leave "+name+"= out", "%s= has no value", name)
		}
	}
	return nil
}

// NotKnown is the fault for a word that is not among those that are known.
func NotKnown(what, name string, known []string) error {
	fix := "known are " + strings.Join(known, ", ")
	if near := config.NearestWord(name, known); near != "" {
		fix = "did you mean " + near + "?"
	}
	return fault.New(fault.Usage, fix, "there is no %s %q", what, name)
}
