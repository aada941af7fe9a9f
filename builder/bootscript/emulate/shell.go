// Package emulate runs boot.scr on a model of a board: an interpreter of the part of U-Boot's hush
// that the script uses, and the commands that read and write the boot record. Tests ask it which
// slot a disk boots.
package emulate

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
)

// This file is an interpreter of the part of U-Boot's hush that boot.scr uses: if, elif, else, for,
// && and ||, quotes, ${variables}, and a table of commands. It refuses what it does not know.

// Shell is one boot: environment, commands, and what was run.
type Shell struct {
	Env      map[string]string
	Commands map[string]func(args []string) bool
	Log      []string // every command that was run, expanded
	steps    int
}

// New is a shell with the commands that need no hardware: echo, setenv, run, test, sleep, reset.
func New(env map[string]string) *Shell {
	s := &Shell{Env: env}
	s.Commands = s.builtins()
	return s
}

// Stop ends a script from within a command that panics with it, as booti and reset do.
type Stop struct{ Why string }

// node is a command list, a conditional or a loop.
type node struct {
	words  []word    // a simple command
	joined string    // how it follows the one before: "", "&&", "||"
	arms   [][2]list // if: condition and body each; else has no condition
	loop   string    // for: the variable
	items  []word
	body   list
}

type list []node

// word is raw text with its quoting kept: parts that were in single quotes are not expanded.
type word struct{ parts []part }

type part struct {
	text   string
	single bool
	quoted bool
}

type token struct {
	word  word
	op    string // ";" (also a line's end), "&&", "||", or ""
	plain string // the word's text if nothing in it is quoted
}

func lex(text string) ([]token, error) {
	var out []token
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == ' ' || c == '\t':
			i++
		case c == '#':
			for i < len(text) && text[i] != '\n' {
				i++
			}
		case c == '\n' || c == ';':
			out = append(out, token{op: ";"})
			i++
		case strings.HasPrefix(text[i:], "&&") || strings.HasPrefix(text[i:], "||"):
			out = append(out, token{op: text[i : i+2]})
			i += 2
		case strings.ContainsRune("&|<>()`\\*?[]~", rune(c)):
			return nil, fmt.Errorf("%q has a meaning in a shell and none here: ...%.20q", c, text[i:])
		default:
			var t token
			for i < len(text) && !strings.ContainsRune(" \t\n;&|", rune(text[i])) {
				switch q := text[i]; q {
				case '\'', '"':
					end := strings.IndexByte(text[i+1:], q)
					if end < 0 {
						return nil, fmt.Errorf("a quote is open: %.40q", text[i:])
					}
					t.word.parts = append(t.word.parts, part{text[i+1 : i+1+end], q == '\'', true})
					i += end + 2
				default:
					start := i
					for i < len(text) && !strings.ContainsRune(" \t\n;&|'\"", rune(text[i])) {
						i++
					}
					t.word.parts = append(t.word.parts, part{text[start:i], false, false})
				}
			}
			if len(t.word.parts) == 1 && !t.word.parts[0].quoted {
				t.plain = t.word.parts[0].text
			}
			out = append(out, t)
		}
	}
	return append(out, token{op: ";"}), nil
}

// parser reads tokens into nodes.
type parser struct {
	tokens []token
	at     int
}

func parse(text string) (list, error) {
	if l, ok := parsed.Load(text); ok {
		return l.(list), nil
	}
	tokens, err := lex(text)
	if err != nil {
		return nil, err
	}
	p := &parser{tokens: tokens}
	l, err := p.list()
	if err == nil && p.at < len(p.tokens) {
		err = fmt.Errorf("%q without its beginning", p.tokens[p.at].plain)
	}
	if err == nil {
		parsed.Store(text, l)
	}
	return l, err
}

// parsed remembers: thousands of boots run the same text.
var parsed sync.Map // text -> list

var closing = map[string]bool{"then": true, "elif": true, "else": true, "fi": true, "do": true, "done": true}

// list reads up to a closing word or the end.
func (p *parser) list() (list, error) {
	var out list
	joined := ""
	for p.at < len(p.tokens) {
		t := p.tokens[p.at]
		switch {
		case t.op == ";":
			joined = ""
			p.at++
			continue
		case t.op != "":
			joined = t.op
			p.at++
			continue
		case closing[t.plain]:
			return out, nil
		}
		n, err := p.node()
		if err != nil {
			return nil, err
		}
		n.joined = joined
		joined = ""
		out = append(out, n)
	}
	return out, nil
}

func (p *parser) want(word string) error {
	for p.at < len(p.tokens) && p.tokens[p.at].op == ";" {
		p.at++
	}
	if p.at == len(p.tokens) || p.tokens[p.at].plain != word {
		return fmt.Errorf("%s is missing", word)
	}
	p.at++
	return nil
}

func (p *parser) node() (n node, err error) {
	switch p.tokens[p.at].plain {
	case "if":
		for {
			word := p.tokens[p.at].plain
			p.at++
			var arm [2]list
			if word != "else" {
				if arm[0], err = p.list(); err != nil {
					return n, err
				}
				if err = p.want("then"); err != nil {
					return n, err
				}
			}
			if arm[1], err = p.list(); err != nil {
				return n, err
			}
			n.arms = append(n.arms, arm)
			if p.at == len(p.tokens) {
				return n, fmt.Errorf("fi is missing")
			}
			if next := p.tokens[p.at].plain; next == "fi" {
				p.at++
				return n, nil
			} else if next != "elif" && next != "else" || word == "else" {
				return n, fmt.Errorf("%s inside an if", next)
			}
		}
	case "for":
		p.at++
		n.loop = p.tokens[p.at].plain
		p.at++
		if err = p.want("in"); err != nil {
			return n, err
		}
		for p.tokens[p.at].op == "" {
			n.items = append(n.items, p.tokens[p.at].word)
			p.at++
		}
		if err = p.want("do"); err != nil {
			return n, err
		}
		if n.body, err = p.list(); err != nil {
			return n, err
		}
		return n, p.want("done")
	}
	for p.at < len(p.tokens) && p.tokens[p.at].op == "" {
		n.words = append(n.words, p.tokens[p.at].word)
		p.at++
	}
	return n, nil
}

// expand returns the words that a raw word becomes: none for an empty variable outside of quotes,
// several for one with spaces.
func (s *Shell) expand(w word) []string {
	text, quoted := "", false
	for _, p := range w.parts {
		quoted = quoted || p.quoted
		if p.single {
			text += p.text
			continue
		}
		for rest := p.text; rest != ""; {
			before, after, ok := strings.Cut(rest, "${")
			text += before
			if !ok {
				break
			}
			name, tail, ok := strings.Cut(after, "}")
			if !ok {
				panic(fmt.Sprintf("open brace in %q", p.text))
			}
			text += s.Env[name]
			rest = tail
		}
	}
	if quoted {
		return []string{text}
	}
	return strings.Fields(text)
}

func (s *Shell) run(l list) bool {
	ok := true
	for _, n := range l {
		if n.joined == "&&" && !ok || n.joined == "||" && ok {
			continue
		}
		ok = s.one(n)
	}
	return ok
}

func (s *Shell) one(n node) bool {
	if s.steps++; s.steps > 5000 {
		panic("the script does not end")
	}
	switch {
	case n.arms != nil:
		for _, arm := range n.arms {
			if arm[0] == nil || s.run(arm[0]) {
				return s.run(arm[1])
			}
		}
		return true
	case n.loop != "":
		ok := true
		for _, item := range n.items {
			for _, value := range s.expand(item) {
				s.Env[n.loop] = value
				ok = s.run(n.body)
			}
		}
		return ok
	}
	var args []string
	for _, w := range n.words {
		args = append(args, s.expand(w)...)
	}
	s.Log = append(s.Log, strings.Join(args, " "))
	command := s.Commands[args[0]]
	if command == nil {
		panic(fmt.Sprintf("unknown command %q", args))
	}
	return command(args[1:])
}

// Run runs a script's text until it ends (why is "") or a command stops it.
func (s *Shell) Run(script string) (why string) {
	l, err := parse(script)
	if err != nil {
		panic(err)
	}
	defer func() {
		if r := recover(); r != nil {
			end, ok := r.(Stop)
			if !ok {
				panic(r)
			}
			why = end.Why
		}
	}()
	s.run(l)
	return ""
}

// builtins are the commands that need no hardware.
func (s *Shell) builtins() map[string]func([]string) bool {
	return map[string]func([]string) bool{
		"echo": func([]string) bool { return true },
		"setenv": func(a []string) bool {
			if s.Env[a[0]] = strings.Join(a[1:], " "); s.Env[a[0]] == "" {
				delete(s.Env, a[0])
			}
			return true
		},
		"run": func(a []string) bool {
			l, err := parse(s.Env[a[0]])
			if err != nil {
				panic(err)
			}
			return len(l) > 0 && s.run(l)
		},
		"test":  test,
		"sleep": func([]string) bool { return true },
		"reset": func([]string) bool { panic(Stop{"reset"}) },
	}
}

func test(a []string) bool {
	number := func(s string) int64 { // base 0, and 0 for what is not a number, as simple_strtol
		n, _ := strconv.ParseInt(s, 0, 64)
		return n
	}
	switch {
	case len(a) == 2 && a[0] == "-n":
		return a[1] != ""
	case len(a) == 2 && a[0] == "-z":
		return a[1] == ""
	case len(a) == 3 && a[1] == "=":
		return a[0] == a[2]
	case len(a) == 3 && a[1] == "-gt":
		return number(a[0]) > number(a[2])
	case len(a) == 2 && a[0] == "-gt": // the left side is empty and not quoted
		return false
	}
	panic(fmt.Sprintf("test %q", a))
}

// Walk calls f with the raw words of every simple command of a script, those in variables for run
// too.
func Walk(script string, f func(words []string)) error {
	l, err := parse(script)
	if err != nil {
		return err
	}
	return walk(l, f)
}

func walk(l list, f func(words []string)) error {
	for _, n := range l {
		for _, part := range append([]list{n.body}, flat(n.arms)...) {
			if err := walk(part, f); err != nil {
				return err
			}
		}
		var words []string
		for _, w := range n.words {
			text := ""
			for _, p := range w.parts {
				text += p.text
				if p.single {
					if err := Walk(p.text, f); err != nil {
						return err
					}
				}
			}
			words = append(words, text)
		}
		if words != nil {
			f(words)
		}
	}
	return nil
}

func flat(arms [][2]list) (all []list) {
	for _, a := range arms {
		all = append(all, a[0], a[1])
	}
	return all
}

// Last is the command that a script ends with, outside of every if and loop; "" if it ends in one
// of those.
func Last(script string) (string, error) {
	l, err := parse(script)
	if err != nil || len(l) == 0 || l[len(l)-1].words == nil {
		return "", err
	}
	return l[len(l)-1].words[0].parts[0].text, nil
}
