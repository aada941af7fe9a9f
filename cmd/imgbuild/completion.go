package main

import (
	"context"
	"fmt"
	"strings"

	"imgbuild/boards"
	"imgbuild/images"
	"imgbuild/init/contract/fault"
)

var completion = verb{
	name:     "completion",
	operands: "bash",
	summary:  "Print what makes a shell complete these words.",
	examples: []string{"imgbuild completion bash > ~/.local/share/bash-completion/completions/imgbuild"},
	do:       doCompletion,
}

func doCompletion(_ context.Context, a *args) error {
	if len(a.operands) != 1 || a.operands[0] != "bash" {
		return fault.New(fault.Usage, "say `imgbuild completion bash`", "bash is the one shell that is served")
	}
	fmt.Print(bashCompletion(a.table))
	return nil
}

// shelfVerbs are those of the command on the node; a test holds them against it.
var shelfVerbs = [...]string{"status", "services", "logs", "start", "stop", "restart", "top", "network", "dmesg", "report", "config", "data", "backup", "disk", "rescue",
	"reboot", "poweroff", "reset", "support", "completion", "version", "help"}

// words are what may be said for a key: the names of boards and roles, and what its help has in small letters; what it has in
// capitals stands for files and the like.
func (k key) words() (words []string) {
	switch k.name {
	case "board":
		return boards.Names()
	case "role":
		return images.Names()
	}
	for _, w := range strings.Split(k.value, "|") {
		if w == strings.ToLower(w) {
			words = append(words, w)
		}
	}
	return words
}

// bashCompletion completes verbs, their keys, and the values of those whose values are known.
func bashCompletion(verbs []verb) string {
	var cases strings.Builder
	for _, v := range verbs {
		var keys []string
		for _, k := range v.keys {
			keys = append(keys, k.name+"=")
		}
		words := strings.Join(keys, " ")
		if v.name == nodeVerb.name { // the host first, then what to say to it
			fmt.Fprintf(&cases, "\t\t%s) words=\"%s\"; [ \"$COMP_CWORD\" -eq 3 ] && words=\"%s\" ;;\n", v.name, words, strings.Join(shelfVerbs[:], " "))
			continue
		}
		fmt.Fprintf(&cases, "\t\t%s) words=\"%s\" ;;\n", v.name, words)
	}
	var chosen strings.Builder
	seen := map[string]bool{}
	for _, v := range verbs {
		for _, k := range v.keys {
			if words := k.words(); len(words) > 0 && !seen[k.name] {
				seen[k.name] = true
				fmt.Fprintf(&chosen, "\t\t%s) words=\"%s\" ;;\n", k.name, strings.Join(words, " "))
			}
		}
	}
	var first []string
	for _, v := range verbs {
		first = append(first, v.name)
	}
	for _, k := range verbs[0].keys {
		first = append(first, k.name+"=")
	}
	return `# Completion of imgbuild in bash; made by: imgbuild completion bash
_imgbuild() {
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} verb=${COMP_WORDS[1]} words=
	# Bash takes key=value for three words.
	if [ "$word" = "=" ]; then before=$word word=; fi
	if [ "$before" = "=" ]; then
		local key=${COMP_WORDS[COMP_CWORD-2]}
		[ "${COMP_WORDS[COMP_CWORD]}" = "=" ] && key=${COMP_WORDS[COMP_CWORD-1]}
		case $key in
` + chosen.String() + `		esac
		COMPREPLY=($(compgen -W "$words" -- "$word"))
		[ ${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- "$word"))
		return
	fi
	if [ "$COMP_CWORD" -eq 1 ]; then
		words="` + strings.Join(first, " ") + ` help"
	else
		case $verb in
` + cases.String() + `		help) words="` + strings.Join(first[:len(verbs)], " ") + `" ;;
		*) words="` + strings.Join(first[len(verbs):], " ") + `" ;;
		esac
	fi
	COMPREPLY=($(compgen -W "$words" -- "$word"))
	[[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null
	[ ${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- "$word"))
}
complete -F _imgbuild imgbuild
`
}
