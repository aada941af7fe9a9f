package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"imgbuild/builder/kubeconfig"
	"imgbuild/builder/remote"
	"imgbuild/cmd/line"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/terminal"
)

var nodeVerb = line.Verb{
	Name:     "node",
	Operands: "HOST VERB [WORD...]",
	Summary:  "Run shelf VERB on a running node; its output and exit code are this command's.",
	Keys:     []line.Key{userKey, identityKey, hostKey},
	Through:  shelfVerbs,
	Examples: []string{"imgbuild node 192.168.1.10 status", "imgbuild node node1 logs k3s -f", "imgbuild node node1 status -o json key=accept-new", "imgbuild node node1 support"},
	Run:      doNode,
}

// shelfVerbs are those of the command on the node; a test holds them against it.
var shelfVerbs = []string{"status", "services", "logs", "start", "stop", "restart", "top", "network", "dmesg", "report", "config", "data", "backup", "disk",
	"upgrade", "rollback", "firmware", "commit", "hold", "history", "key", "token", "storage", "router", "restore", "rescue", "reboot", "poweroff", "reset", "support", "completion", "version", "help"}

func doNode(ctx context.Context, a *line.Args) (err error) {
	if len(a.Operands) < 2 {
		return fault.New(fault.Usage, "run `imgbuild node HOST status`; `imgbuild node HOST help` lists the verbs", "node needs a host and a command")
	}
	host, words := a.Operands[0], a.Operands[1:]
	if words[0] == "reset" && !slices.Contains(words, "yes=yes") && term.IsTerminal(int(os.Stdin.Fd())) {
		if !askUser(fmt.Sprintf("Delete everything on %s but its configuration and identity?", host)) {
			return fault.New(fault.Usage, "", "nothing was done")
		}
		words = append(words, "yes=yes")
	}
	input, err := nodeInput(words, os.Stdin)
	if err != nil {
		return err
	}
	n, err := login(ctx, a, host)
	if err != nil {
		return err
	}
	defer n.Close()
	if words[0] == "support" && !slices.Contains(words, "-") {
		return fetchSupport(ctx, n, words[1:])
	}
	if len(words) == 1 && words[0] == "status" { // for people
		defer printOwnEnds(os.Stdout, host)
	}
	return onNode(ctx, n, words, input)
}

// printOwnEnds prints when this computer's access to a server ends, if it has one.
func printOwnEnds(w io.Writer, host string) {
	for _, a := range kubeconfig.OwnEnds(host) {
		word := "ends"
		if time.Now().After(a.Ends) {
			word = "has ended"
		}
		fmt.Fprintf(w, "kubectl's access of this computer, context %q, %s on %s; `imgbuild kubeconfig` renews it\n", a.Context, word, a.Ends.Format(time.DateOnly))
	}
}

// nodeInput is what the node's verb reads: a configuration that comes from here, if none is named
// there. A person at a terminal is pointed to the verb that was made for it.
func nodeInput(words []string, stdin *os.File) (io.Reader, error) {
	if len(words) < 2 || words[0] != "config" || words[1] != "check" && words[1] != "apply" {
		return nil, nil
	}
	for i, w := range words[2:] {
		isForm := words[i+1] == "-o" || words[i+1] == "--output" // w is what that asks
		if !strings.HasPrefix(w, "-") && !strings.Contains(w, "=") && !isForm {
			return nil, nil // a file of the node
		}
	}
	if term.IsTerminal(int(stdin.Fd())) {
		return nil, fault.New(fault.Usage, "run `imgbuild apply HOST config=FILE`, or give the file with < FILE", "config %s needs a configuration", words[1])
	}
	return stdin, nil
}

// onNode runs shelf with these words on the node. What it prints must not control the terminal: the
// node's services wrote some of it.
func onNode(ctx context.Context, n *remote.Node, words []string, in io.Reader) error {
	errs := terminal.NewWriter(os.Stderr)
	defer errs.Flush()
	var out io.Writer = os.Stdout
	if term.IsTerminal(int(os.Stdout.Fd())) {
		safe := terminal.NewWriter(out)
		defer safe.Flush()
		out = safe
	}
	return n.Shelf(ctx, words, in, out, errs)
}

// fetchSupport fetches the bundle into a file here.
func fetchSupport(ctx context.Context, n *remote.Node, words []string) error {
	file := remote.SupportName(n.Host, time.Now())
	for _, w := range words {
		name, ok := strings.CutPrefix(w, "out=")
		if !ok {
			return fault.New(fault.Usage, "run `imgbuild node HOST support [out=FILE]`", "support takes no %q", w)
		}
		file = name
	}
	errs := terminal.NewWriter(os.Stderr)
	defer errs.Flush()
	if err := n.FetchSupport(ctx, file, errs); err != nil {
		return err
	}
	fmt.Println(file)
	return nil
}
