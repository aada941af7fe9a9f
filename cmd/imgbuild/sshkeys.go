package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"imgbuild/builder/sshkey"
	"imgbuild/cmd/line"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/terminal"
)

// loginKey answers which ssh key may log in.
var loginKey = line.Key{Name: "key", Value: "FILE|default|none", Doc: "The ssh public key that may log in where no config= names one. default: the first of ~/.ssh. Without it you are asked on a terminal; elsewhere none."}

// loginKeys are the ssh keys of a build: what key= names, or the answer of the user where a
// configuration is missing and there is a terminal; nil for none.
func loginKeys(ctx context.Context, a *line.Args) ([]sshkey.Key, error) {
	answer, given := a.Values["key"]
	if !given && (a.Values["config"] != "" || a.Values["import"] != "" || a.Values["restore"] != "" || a.JSON() || !onTerminal()) {
		return nil, nil
	}
	if answer == "none" {
		return nil, nil
	}
	home, err := sshkey.Home()
	if err != nil {
		if !given {
			return nil, nil
		}
		return nil, err
	}
	if given {
		return sshkey.Choose(tilde(answer, home), home)
	}
	return askKeys(ctx, os.Stderr, ask, home)
}

// tilde expands what the shell leaves alone in key=~/FILE.
func tilde(name, home string) string {
	if rest, ok := strings.CutPrefix(name, "~/"); ok {
		return filepath.Join(home, rest)
	}
	return name
}

// askKeys lists the keys of home and asks which of them may log in. Without one there is nothing to
// ask.
func askKeys(ctx context.Context, w io.Writer, ask func(context.Context, string) (string, error), home string) ([]sshkey.Key, error) {
	found := sshkey.Find(home)
	if len(found) == 0 {
		fmt.Fprintf(w, "There is no ssh key in %s; `ssh-keygen -t ed25519` makes one.\n", terminal.Text(filepath.Join(home, ".ssh")))
		return nil, nil
	}
	fmt.Fprintln(w, "Which ssh key may log in to the node, as rancher?")
	for i, k := range found {
		fmt.Fprintf(w, "  %d  %s\n", i+1, keyLine(k))
	}
	for {
		answer, err := ask(ctx, "Number, or none (Enter is 1): ")
		if err != nil {
			return nil, err
		}
		if answer == "none" || answer == "no" {
			return nil, nil
		}
		if answer == "" {
			answer = "1"
		}
		var keys []sshkey.Key
		for _, word := range list(strings.ReplaceAll(answer, " ", ",")) {
			n, err := strconv.Atoi(word)
			if err != nil || n < 1 || n > len(found) {
				keys = nil
				break
			}
			if !slices.Contains(keys, found[n-1]) {
				keys = append(keys, found[n-1])
			}
		}
		if keys != nil {
			return keys, nil
		}
		fmt.Fprintf(w, "Write a number from 1 to %d, several with commas, or none.\n", len(found))
	}
}

// keyLine is a key for people.
func keyLine(k sshkey.Key) string {
	return terminal.Line(fmt.Sprintf("%s %s %s", k.Fingerprint, k.Type, strings.TrimSpace(k.Comment+" "+k.File)))
}

// ask asks a question and returns the answer without blanks around it. An end of the input is an
// error, and so is the end of ctx.
func ask(ctx context.Context, question string) (string, error) {
	fmt.Fprint(os.Stderr, terminal.Text(question))
	type answer struct {
		text string
		err  error
	}
	got := make(chan answer, 1)
	go func() {
		text, err := typed().ReadString('\n')
		got <- answer{strings.TrimSpace(text), err}
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(os.Stderr)
		return "", context.Canceled
	case a := <-got:
		if a.err != nil && a.text == "" {
			fmt.Fprintln(os.Stderr)
			return "", fault.New(fault.Usage, "answer it, or give the key=value", "the question had no answer: %w", a.err)
		}
		return a.text, nil
	}
}
