package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"

	"golang.org/x/term"

	"imgbuild/builder/cluster"
	"imgbuild/builder/remote"
	"imgbuild/cmd/line"
	"imgbuild/init/contract/terminal"
)

// The keys that every verb with a host takes.
var (
	userKey     = line.Key{Name: "user", Value: "NAME", Doc: "The user to log in as; default rancher. USER@HOST does the same for one host, HOST:PORT takes another port. ~/.ssh/config is not read."}
	identityKey = line.Key{Name: "identity", Value: "FILE", Doc: "The private key; default the agent's keys, then those of ~/.ssh."}
	hostKey     = line.Key{Name: "key", Value: "ask|accept-new|SHA256:...", Doc: "A host that is not in ~/.ssh/known_hosts: ask (default), note its key, or compare its fingerprint."}
)

// login opens a connection to a node with the keys of the command line.
func login(ctx context.Context, a *line.Args, host string) (*remote.Node, error) {
	hosts, o, err := hostsOf(a, []string{host})
	if err != nil {
		return nil, err
	}
	return remote.Dial(ctx, hosts[0], o)
}

// hostsOf returns where the nodes are that words name, and how to log in there: what is a node of
// ./cluster.yaml is at the address and has the host key that it has there.
func hostsOf(a *line.Args, words []string) ([]string, remote.Options, error) {
	o := loginOptions(a)
	hosts, known, err := cluster.Hosts(".", words)
	if known != "" {
		o.KnownHosts = known
	}
	return hosts, o, err
}

// dialNode is how nodes are connected to; nil: by TCP. Tests have nodes at addresses of their own.
var dialNode remote.Connect

func loginOptions(a *line.Args) remote.Options {
	o := remote.Options{Connect: dialNode, User: a.Values["user"], Identity: a.Values["identity"], Key: a.Values["key"],
		Say: func(format string, v ...any) { fmt.Fprintln(os.Stderr, terminal.Text(fmt.Sprintf(format, v...))) }}
	if term.IsTerminal(int(os.Stdin.Fd())) {
		o.Ask, o.Secret = askUser, askSecret
	}
	return o
}

// typed is what comes from the terminal, line by line.
var typed = sync.OnceValue(func() *bufio.Reader { return bufio.NewReader(os.Stdin) })

// onTerminal reports whether there is somebody to ask.
func onTerminal() bool {
	return term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stderr.Fd()))
}

// askUser asks a question on the terminal; only yes is yes.
func askUser(question string) bool {
	fmt.Fprint(os.Stderr, terminal.Text(question)+" [yes/no] ")
	line, _ := typed().ReadString('\n')
	return strings.EqualFold(strings.TrimSpace(line), "yes")
}

// askSecret asks for what must not be seen.
func askSecret(prompt string) []byte {
	fmt.Fprint(os.Stderr, prompt)
	secret, _ := term.ReadPassword(int(os.Stdin.Fd()))
	fmt.Fprintln(os.Stderr)
	return secret
}
