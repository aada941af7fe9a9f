// Command shelf is what people type on the node, and what the init runs as services of its own.
// argv[0] decides between shelf, k3os (for users of k3OS), reboot and poweroff.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/term"

	"imgbuild/cmd/line"
	"imgbuild/init/confine"
	"imgbuild/init/contract/fault"
)

// version is this program's own. It does not contain the commit: a slot must not change because a
// document did. Once the slot's manifest is read, its hash of this program takes its place.
const version = "unknown"

func main() {
	if len(os.Args) == 2 && os.Args[1] == confine.InsideVerb { // the first process of namespaces of its own
		fmt.Fprintln(os.Stderr, "shelf:", confine.Inside())
		os.Exit(int(fault.Internal))
	}
	os.Exit(cli(filepath.Base(os.Args[0]), os.Args[1:]))
}

// cli runs what people type and returns the exit code.
func cli(name string, args []string) int {
	err := dispatch(name, args)
	if err != nil {
		width := 0 // for programs, and for the terminal at the other end of ssh
		if term.IsTerminal(int(os.Stderr.Fd())) {
			width = min(100, line.Columns(os.Stderr))
		}
		what, fix := fault.Parts(err)
		fmt.Fprint(os.Stderr, line.Failure(what, fix, width, nil))
	}
	return fault.Code(err)
}

func dispatch(name string, args []string) error {
	if len(args) == 2 && args[0] == confine.Verb { // for the init program, not for people
		return confine.Main(args[1])
	}
	switch name {
	case "k3os":
		return k3os(args)
	case "reboot", "poweroff":
		return run(append([]string{name}, args...))
	case "halt", "shutdown":
		return run([]string{"poweroff"})
	}
	return run(args)
}
