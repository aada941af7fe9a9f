package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"imgbuild/builder/token"
	"imgbuild/cmd/line"
	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/fault"
)

// tokenFile is where the new token is kept without new=.
const tokenFile = "k3s-token"

var tokenVerb = line.Verb{
	Name:     "token",
	Operands: "rotate HOST...",
	Summary:  "Change the token of a running cluster: on a server, then on every other node, agents one at a time.",
	Keys: []line.Key{
		{Name: "new", Value: "FILE", Doc: "The new token. A file that does not exist is made, with a random token. Default ./" + tokenFile + ", which must not exist."},
		{Name: "missing", Value: "yes|no", Doc: "yes: nodes of the cluster that are not named stay behind with the old token. Default no: that is an error."},
		userKey, identityKey, hostKey},
	Examples: []string{"imgbuild token rotate server worker1 worker2", "imgbuild token rotate server worker1 new=token.txt"},
	Run:      doToken,
}

func doToken(ctx context.Context, a *line.Args) error {
	if len(a.Operands) < 2 || a.Operands[0] != "rotate" {
		return fault.New(fault.Usage, "run `imgbuild token rotate HOST...` with every node of the cluster", "token wants the word rotate, and hosts")
	}
	missing, err := a.Bool("missing", false)
	if err != nil {
		return err
	}
	file := a.Values["new"]
	word, err := newToken(file)
	if err != nil {
		return err
	}
	if file == "" {
		file = tokenFile
	}
	if err := token.Run(ctx, token.Options{Hosts: a.Operands[1:], Token: word, Missing: missing, Login: loginOptions(a), Out: os.Stdout}); err != nil {
		return fmt.Errorf("%w; the new token is in %s", err, file)
	}
	fmt.Printf("the new token is in %s: put it into k3os.token of the nodes' configuration; backups made before need the old one\n", file)
	return nil
}

// newToken reads the token of a file, or makes one and the file. It is on the disk before any node
// knows it.
func newToken(file string) (string, error) {
	given := file != ""
	if !given {
		file = tokenFile
	}
	data, err := os.ReadFile(file)
	switch {
	case err == nil && !given:
		return "", fault.New(fault.Usage, "give new="+file+" to go on with that token, or move the file away", "%s exists: an earlier run may not have come to its end", file)
	case err == nil:
		word := strings.TrimSpace(string(data))
		if word == "" {
			return "", fault.New(fault.Input, "remove the file, and a token is made", "%s is empty", file)
		}
		return word, nil
	case !errors.Is(err, fs.ErrNotExist):
		return "", fault.Wrap(err, fault.Input, "", "reading the new token")
	}
	word := token.New()
	f, err := atomicfile.Create(filepath.Dir(file), 0o600)
	if err != nil {
		return "", fault.Wrap(err, fault.Input, "name another file with new=FILE", "keeping the new token")
	}
	defer f.Close()
	_, err = f.WriteString(word + "\n")
	if err := errors.Join(err, f.Sync()); err != nil {
		return "", fault.Wrap(err, fault.Device, "", "writing %s", file)
	}
	return word, f.Commit(file)
}
