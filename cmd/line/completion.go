package line

import (
	"context"
	"fmt"
	"os"
	"strings"

	"imgbuild/init/contract/fault"
)

// Completion is the verb that prints the completions and the man page.
func Completion(program string) Verb {
	return Verb{Name: "completion", Operands: "bash|zsh|fish|man", Words: "bash zsh fish man",
		Summary: "Print what makes a shell complete these words, or the man page.",
		Examples: []string{
			"mkdir -p ~/.local/share/bash-completion/completions",
			program + " completion bash > ~/.local/share/bash-completion/completions/" + program},
		Run: func(_ context.Context, a *Args) error {
			if len(a.Operands) == 1 {
				switch a.Operands[0] {
				case "bash":
					fmt.Fprint(os.Stdout, a.Program.Bash())
					return nil
				case "zsh":
					fmt.Fprint(os.Stdout, a.Program.Zsh())
					return nil
				case "fish":
					fmt.Fprint(os.Stdout, a.Program.Fish())
					return nil
				case "man":
					fmt.Fprint(os.Stdout, a.Program.Man())
					return nil
				}
			}
			return fault.New(fault.Usage, "run `"+program+" completion bash`", "completion takes one of bash, zsh, fish and man")
		}}
}

// values are the possible values of a key: its words, else what its help has in small letters;
// words in capitals are placeholders for files and other values.
func (k Key) values() (words []string) {
	if k.Words != nil {
		return k.Words
	}
	for _, w := range strings.Split(k.Value, "|") {
		if w != "" && w == strings.ToLower(w) && !strings.Contains(w, ":") {
			words = append(words, w)
		}
	}
	return words
}

// words are what may follow a verb, except for files.
func (v *Verb) words() []string {
	words := strings.Fields(v.Words)
	if strings.Contains(v.Words, "$(") {
		words = []string{v.Words}
	}
	for _, k := range v.Keys {
		words = append(words, k.Name+"=")
		if k.Short != "" {
			words = append(words, "-"+k.Short)
		} else if k.Flag {
			words = append(words, "--"+k.Name)
		}
	}
	return words
}

// chosen are the keys whose values are known, each once.
func (p *Program) chosen() (list []Key) {
	seen := map[string]bool{}
	for _, v := range p.Verbs {
		for _, k := range v.Keys {
			if len(k.values()) > 0 && !seen[k.Name] {
				seen[k.Name] = true
				list = append(list, k)
			}
		}
	}
	return list
}

// first are the words that may come first.
func (p *Program) first() []string {
	words := append(p.Names(), "help")
	if v := p.verb(p.Default); v != nil {
		words = append(words, v.words()...)
	}
	return words
}

// Bash is a script that a login shell may read whatever shell it is.
func (p *Program) Bash() string {
	var values, shorts, cases strings.Builder
	for _, k := range p.chosen() {
		fmt.Fprintf(&values, "\t\t%s) words=\"%s\" ;;\n", k.Name, strings.Join(k.values(), " "))
		if k.Short != "" && !k.Flag {
			fmt.Fprintf(&shorts, "\t-%s) COMPREPLY=($(compgen -W \"%s\" -- \"$word\")); return ;;\n", k.Short, strings.Join(k.values(), " "))
		}
	}
	for _, v := range p.Verbs {
		words := fmt.Sprintf("words=\"%s\"", strings.Join(v.words(), " "))
		if v.Through != nil { // the host first, then what it is asked
			words += fmt.Sprintf("; [ \"$COMP_CWORD\" -eq 3 ] && words=\"%s\"", strings.Join(v.Through, " "))
		}
		fmt.Fprintf(&cases, "\t%s) %s ;;\n", v.Name, words)
	}
	rest := ""
	if v := p.verb(p.Default); v != nil {
		rest = "\t*) words=\"" + strings.Join(v.words(), " ") + "\" ;;\n"
	}
	return strings.NewReplacer("PROGRAM", p.Name, "FIRST", strings.Join(p.first(), " "), "NAMES", strings.Join(p.Names(), " "),
		"VALUES", values.String(), "SHORTS", shorts.String(), "CASES", cases.String(), "REST", rest).Replace(`# Completion of PROGRAM in bash; made by: PROGRAM completion bash
[ -n "$BASH_VERSION" ] || return 0
_PROGRAM() {
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} words=
	# Bash takes key=value for three words.
	if [ "$word" = "=" ] || [ "$before" = "=" ]; then
		local key=$before
		[ "$word" = "=" ] && word= || key=${COMP_WORDS[COMP_CWORD-2]}
		case $key in
VALUES		esac
		COMPREPLY=($(compgen -W "$words" -- "$word"))
		[ ${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- "$word"))
		return
	fi
	case $before in
SHORTS	esac
	if [ "$COMP_CWORD" -eq 1 ]; then
		words="FIRST"
	else
		case ${COMP_WORDS[1]} in
CASES	help) words="NAMES" ;;
REST		esac
	fi
	COMPREPLY=($(compgen -W "$words" -- "$word"))
	[[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null
	[ ${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- "$word"))
}
complete -F _PROGRAM PROGRAM
`)
}

// quoted is a word of zsh or fish in single quotes.
func quoted(s string) string {
	return "'" + strings.ReplaceAll(strings.ReplaceAll(s, `\`, `\\`), "'", `'\''`) + "'"
}

// Zsh is a file for a directory of $fpath, named _PROGRAM.
func (p *Program) Zsh() string {
	var b strings.Builder
	fmt.Fprintf(&b, "#compdef %s\n# Completion of %s in zsh; made by: %s completion zsh\nlocal -a words_\ncase $PREFIX in\n", p.Name, p.Name, p.Name)
	for _, k := range p.chosen() {
		fmt.Fprintf(&b, "%s=*) compset -P '*='; compadd -- %s; return ;;\n", k.Name, strings.Join(k.values(), " "))
	}
	b.WriteString("[a-z]*=*) compset -P '*='; _files; return ;;\nesac\n")
	b.WriteString("if (( CURRENT == 2 )); then\n\twords_=(\n")
	for _, v := range p.Verbs {
		fmt.Fprintf(&b, "\t\t%s\n", quoted(v.Name+":"+strings.ReplaceAll(v.Summary, ":", `\:`)))
	}
	b.WriteString("\t\t'help:This text, or a verb'\\''s operands, keys and examples.'\n\t)\n\t_describe verb words_\n")
	if v := p.verb(p.Default); v != nil {
		fmt.Fprintf(&b, "\tcompadd -S '' -- %s\n", strings.Join(v.words(), " "))
	}
	b.WriteString("\treturn\nfi\ncase $words[2] in\n")
	for _, v := range p.Verbs {
		var plain, keys []string
		for _, w := range v.words() {
			if strings.HasSuffix(w, "=") {
				keys = append(keys, w)
			} else {
				plain = append(plain, w)
			}
		}
		fmt.Fprintf(&b, "%s) ", v.Name)
		if v.Through != nil {
			fmt.Fprintf(&b, "(( CURRENT == 4 )) && compadd -- %s; ", strings.Join(v.Through, " "))
		}
		if plain != nil {
			fmt.Fprintf(&b, "compadd -- %s; ", strings.Join(plain, " "))
		}
		if keys != nil {
			fmt.Fprintf(&b, "compadd -S '' -- %s; ", strings.Join(keys, " "))
		}
		b.WriteString("_files ;;\n")
	}
	fmt.Fprintf(&b, "help) compadd -- %s ;;\n", strings.Join(p.Names(), " "))
	if v := p.verb(p.Default); v != nil {
		fmt.Fprintf(&b, "*) compadd -S '' -- %s; _files ;;\n", strings.Join(v.words(), " "))
	}
	b.WriteString("esac\n")
	return b.String()
}

// Fish is a file for a completions directory of fish, named PROGRAM.fish.
func (p *Program) Fish() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Completion of %s in fish; made by: %s completion fish\n", p.Name, p.Name)
	verb := "__fish_use_subcommand"
	for _, v := range p.Verbs {
		fmt.Fprintf(&b, "complete -c %s -n %s -a %s -d %s\n", p.Name, verb, v.Name, quoted(v.Summary))
	}
	fmt.Fprintf(&b, "complete -c %s -n %s -a help -d 'This text, or a verb'\\''s operands, keys and examples.'\n", p.Name, verb)
	add := func(when string, v *Verb) {
		for _, w := range strings.Fields(v.Words) {
			if !strings.Contains(v.Words, "$(") {
				fmt.Fprintf(&b, "complete -c %s -n %s -a %s\n", p.Name, when, quoted(w))
			}
		}
		if command, ok := strings.CutPrefix(v.Words, "$("); ok {
			command, _, _ = strings.Cut(command, ")")
			fmt.Fprintf(&b, "complete -c %s -n %s -a \"(%s)\"\n", p.Name, when, command)
		}
		for _, k := range v.Keys {
			values := k.values()
			for _, w := range values {
				fmt.Fprintf(&b, "complete -c %s -n %s -a %s -d %s\n", p.Name, when, quoted(k.Name+"="+w), quoted(k.Doc))
			}
			if values == nil {
				fmt.Fprintf(&b, "complete -c %s -n %s -a %s -d %s\n", p.Name, when, quoted(k.Name+"="), quoted(k.Doc))
			}
			if k.Short != "" {
				option := ""
				if !k.Flag {
					option = " -x -a " + quoted(strings.Join(values, " "))
				}
				fmt.Fprintf(&b, "complete -c %s -n %s -s %s -l %s%s -d %s\n", p.Name, when, k.Short, k.Name, option, quoted(k.Doc))
			}
		}
	}
	for i := range p.Verbs {
		v := &p.Verbs[i]
		add(quoted("__fish_seen_subcommand_from "+v.Name), v)
		if v.Through != nil {
			fmt.Fprintf(&b, "complete -c %s -n %s -a %s\n", p.Name, quoted("__fish_seen_subcommand_from "+v.Name), quoted(strings.Join(v.Through, " ")))
		}
	}
	if v := p.verb(p.Default); v != nil {
		add(quoted("not __fish_seen_subcommand_from "+strings.Join(p.Names(), " ")), v)
	}
	fmt.Fprintf(&b, "complete -c %s -f -n '__fish_seen_subcommand_from help' -a %s\n", p.Name, quoted(strings.Join(p.Names(), " ")))
	return b.String()
}

// Man is the manual page, section 1, in man(7)'s language.
func (p *Program) Man() string {
	text := strings.NewReplacer(`\`, `\e`, "-", `\-`)
	line := func(s string) string {
		s = text.Replace(s)
		if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
			s = `\&` + s
		}
		return strings.ReplaceAll(s, "\n", "\n.br\n")
	}
	var b strings.Builder
	summary := strings.TrimPrefix(p.Summary, p.Name+" ")
	fmt.Fprintf(&b, ".TH %s 1\n.SH NAME\n%s \\- %s\n.SH SYNOPSIS\n%s\n.SH VERBS\n", strings.ToUpper(p.Name), p.Name, line(strings.TrimSuffix(summary, ".")), line(p.Usage))
	for i := range p.Verbs {
		v := &p.Verbs[i]
		fmt.Fprintf(&b, ".SS %s\n%s\n", line(strings.TrimSpace(v.Name+" "+v.Operands)), line(v.Summary))
		for _, k := range v.Keys {
			fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", line(k.forms()), line(k.Doc))
		}
		if len(v.Examples) > 0 {
			fmt.Fprintf(&b, ".PP\nExamples:\n.PP\n.nf\n%s\n.fi\n", text.Replace(strings.Join(v.Examples, "\n")))
		}
	}
	fmt.Fprintf(&b, ".SH NOTES\n%s\n", line(p.More))
	return b.String()
}
