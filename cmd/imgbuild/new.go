package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strings"

	"imgbuild/boards"
	"imgbuild/builder/newconfig"
	"imgbuild/builder/recipe"
	"imgbuild/builder/sshkey"
	"imgbuild/builder/token"
	"imgbuild/cmd/line"
	"imgbuild/images"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/terminal"
)

var newVerb = line.Verb{
	Name:     "new",
	Operands: "[FILE] | cluster",
	Words:    "cluster",
	Summary:  "Write a short configuration for a new node; default FILE is config.yaml. On a terminal it asks for what is not given. cluster: write cluster.yaml for a whole shelf, and the secrets that its nodes do not have yet.",
	Keys: []line.Key{boardKey, roleKey,
		{Name: "hostname", Value: "NAME", Doc: "The node's name."},
		{Name: "key", Value: "FILE|default|none", Doc: "The ssh public key that may log in. default: the first of ~/.ssh, which is also taken where nobody can be asked."},
		{Name: "server", Value: "FILE|HOST", Doc: "Of a worker: the server's configuration file, which has the token too, or its name or address."},
		{Name: "token", Value: "TOKEN", Doc: "The token of k3s. Default: a new one for a server, that of server=FILE for a worker."},
		{Name: "lock", Value: "passphrase|key|none", Words: []string{"passphrase", "key", "none"}, Doc: "With cluster: how a new cluster.secrets.yaml is encrypted. key: with a key of age's that is printed once. Default passphrase, IMGBUILD_PASSPHRASE where nobody can be asked."},
		line.Output},
	Examples: []string{
		"imgbuild new",
		"imgbuild new cluster key=default",
		"imgbuild new server.yaml board=rpi4 role=server hostname=server1",
		"imgbuild new node2.yaml board=rpi4 role=worker hostname=node2 server=server.yaml",
	},
	Run: doNew,
}

func doNew(ctx context.Context, a *line.Args) error {
	if len(a.Operands) > 1 {
		return fault.New(fault.Usage, "run `imgbuild new [FILE]`", "new takes one file, not %d", len(a.Operands))
	}
	if len(a.Operands) == 1 && a.Operands[0] == "cluster" {
		return doNewCluster(ctx, a)
	}
	if a.Values["lock"] != "" {
		return fault.New(fault.Usage, "leave it out", "lock= is for `imgbuild new cluster`")
	}
	file := "config.yaml"
	if len(a.Operands) == 1 {
		file = a.Operands[0]
	}
	if err := newconfig.Free(file); err != nil {
		return err
	}
	n := newconfig.Answers{Board: a.Values["board"], Role: a.Values["role"], Hostname: a.Values["hostname"], Token: a.Values["token"]}
	server, keys := a.Values["server"], []sshkey.Key(nil)
	q := questions{ctx: ctx, ask: ask}
	if onTerminal() && !a.JSON() {
		q.some = true
	}
	err := q.node(&n, &server)
	if err == nil {
		keys, err = newKeys(ctx, a, q.some)
	}
	if err != nil {
		return err
	}
	n.Keys = sshkey.Lines(keys)
	url, word, err := newconfig.Join(server)
	if err != nil {
		return err
	}
	n.Server, n.Token = url, cmp.Or(n.Token, word)
	switch {
	case n.Role == "worker" && n.Server != "" && n.Token == "":
		if n.Token, err = q.text("", "token", "Token of that server (k3os.token of its configuration): ", ""); err != nil {
			return err
		}
	case n.Role != "worker" && server != "":
		return fault.New(fault.Usage, "leave it out", "server= is for a worker")
	case n.Role == "server" && n.Token == "":
		n.Token = token.New()
	}
	made, err := newconfig.Write(file, n)
	if err != nil {
		return err
	}
	if a.JSON() {
		return printJSON(map[string]any{"file": made.File, "schema": made.Schema, "warnings": append([]string{}, made.Warnings...)})
	}
	s := newScreen(os.Stderr)
	s.hold = true
	for _, w := range made.Warnings {
		s.Warn(strings.TrimPrefix(w, "warning: "))
	}
	defer s.warnings()
	fmt.Printf("%s\n  the node %s, %s as %s; only you may read the file\n", made.File, n.Hostname, n.Board, n.Role)
	for _, k := range keys {
		fmt.Printf("  login as rancher with %s\n", strings.TrimSpace(terminal.Line(k.Comment)+" "+k.Fingerprint))
	}
	if made.Schema != "" {
		fmt.Printf("  %s is for your editor\n", made.Schema)
	}
	fmt.Printf("\nNext:\n  imgbuild board=%s role=%s config=%s\n", n.Board, n.Role, terminal.Quote(file))
	return nil
}

// newKeys are the keys of a new configuration: what key= names, else what the user answers, else
// the first one there is.
func newKeys(ctx context.Context, a *line.Args, some bool) ([]sshkey.Key, error) {
	answer, given := a.Values["key"]
	if answer == "none" {
		return nil, nil
	}
	home, err := sshkey.Home()
	switch {
	case err != nil && given:
		return nil, err
	case err != nil:
		return nil, nil
	case given:
		return sshkey.Choose(tilde(answer, home), home)
	case some:
		return askKeys(ctx, os.Stderr, ask, home)
	}
	if found := sshkey.Find(home); len(found) > 0 {
		return found[:1], nil
	}
	return nil, nil
}

// questions asks for what the command line leaves open, where there is somebody.
type questions struct {
	ctx  context.Context
	ask  func(context.Context, string) (string, error)
	some bool // there is
}

// node asks what a node is.
func (q *questions) node(n *newconfig.Answers, server *string) (err error) {
	if n.Board, err = q.word(n.Board, "board", "Board", boards.Names(), func(name string) string {
		if b, _, err := boards.Get(name); err == nil && b != nil {
			return b.Title
		}
		return ""
	}); err != nil {
		return err
	}
	if n.Role, err = q.word(n.Role, "role", "Role", images.Names(), func(name string) string {
		if r, _, err := images.Get(name); err == nil && r != nil {
			return r.Title
		}
		return ""
	}); err != nil {
		return err
	}
	if _, err := recipe.New(n.Board, n.Role, recipe.Choice{}); err != nil {
		return err // before more is asked
	}
	if n.Hostname, err = q.text(n.Hostname, "hostname", "Name of the node (Enter is node1): ", "node1"); err != nil {
		return err
	}
	if n.Role == "worker" && *server == "" && q.some {
		*server, err = q.ask(q.ctx, "Its server: configuration file, name or address (Enter to leave it open): ")
	}
	return err
}

// text asks for a text that is not given; an empty answer is fallback.
func (q *questions) text(given, key, question, fallback string) (string, error) {
	if given != "" {
		return given, nil
	}
	if !q.some {
		return "", fault.New(fault.Usage, "give "+key+"=", "no %s is given, and there is no terminal to ask", key)
	}
	answer, err := q.ask(q.ctx, question)
	return cmp.Or(answer, fallback), err
}

// word asks for one of the known words.
func (q *questions) word(given, key, question string, known []string, about func(string) string) (string, error) {
	if given != "" || !q.some {
		return given, nil // judged by the recipe
	}
	for _, name := range known {
		fmt.Fprintf(os.Stderr, "  %-12s %s\n", name, about(name))
	}
	for {
		answer, err := q.ask(q.ctx, question+": ")
		if err != nil {
			return "", err
		}
		for _, name := range known {
			if answer == name {
				return answer, nil
			}
		}
		fmt.Fprintln(os.Stderr, terminal.Text(line.NotKnown(key, answer, known).Error()))
	}
}
