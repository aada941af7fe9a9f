package main

import (
	"fmt"
	"strings"

	"imgbuild/init/contract/fault"
)

// completion prints what makes a shell complete the words of this command. Login shells on a node read it from
// /etc/profile.d, where the image's overlay puts it; a test holds that copy against this.
func completion(args []string) error {
	if len(args) != 1 || args[0] != "bash" {
		return fault.New(fault.Usage, "say shelf completion bash", "bash is the one shell that is served")
	}
	fmt.Print(bashCompletion())
	return nil
}

// serviceWord stands for the names of the services, which the shell asks for.
const serviceWord = "$(shelf services names 2>/dev/null)"

// operands are the words that may follow a verb. A verb that is not here takes none.
var operands = map[string]string{
	"logs": "-f -n " + serviceWord, "start": serviceWord, "stop": serviceWord, "restart": serviceWord,
	"config": "--dump secrets=yes reload check apply confirm revert", "data": "repair format", "rescue": "on off", "completion": "bash", "reset": "yes=yes", "support": "out= -",
	"backup": "now list key forget", "disk": "move forget",
}

func bashCompletion() string {
	var names []string
	var cases strings.Builder
	for _, v := range verbs() {
		names = append(names, v.name)
		if words := operands[v.name]; words != "" {
			fmt.Fprintf(&cases, "\t%s) words=\"%s\" ;;\n", v.name, words)
		}
	}
	cases.WriteString("\thelp) words=\"" + strings.Join(names, " ") + "\" ;;\n")
	return `# Completion of shelf in bash; made by: shelf completion bash
[ -n "$BASH_VERSION" ] || return 0
_shelf() {
	local word=${COMP_WORDS[COMP_CWORD]} words=
	if [ "$COMP_CWORD" -eq 1 ]; then
		COMPREPLY=($(compgen -W "` + strings.Join(names, " ") + `" -- "$word"))
		return
	fi
	if [ "${COMP_WORDS[COMP_CWORD-1]}" = -o ]; then
		COMPREPLY=($(compgen -W "json text" -- "$word"))
		return
	fi
	case ${COMP_WORDS[1]} in
` + cases.String() + `	esac
	COMPREPLY=($(compgen -W "$words -o" -- "$word"))
}
complete -F _shelf shelf
`
}
