package main

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/term"

	"imgbuild/builder/cluster"
	"imgbuild/builder/sshkey"
	"imgbuild/cmd/line"
	"imgbuild/init/contract/fault"
)

// doNewCluster writes cluster.yaml, unless it is there, and the secrets that its nodes lack.
func doNewCluster(ctx context.Context, a *line.Args) error {
	for _, name := range []string{"role", "hostname", "server", "token"} {
		if a.Values[name] != "" {
			return fault.New(fault.Usage, "leave it out, and edit the file", "%s= is for the configuration of one node", name)
		}
	}
	n := cluster.New{Board: a.Values["board"], Given: a.Values["board"] != "" || a.Values["key"] != "", Home: homeDir(), Keys: func() ([]string, error) {
		keys, err := newKeys(ctx, a, onTerminal() && !a.JSON())
		return sshkey.Lines(keys), err
	}}
	if err := n.Check(); err != nil {
		return err
	}
	secrets, printed, err := newSecrets(a.Values["lock"])
	if err != nil {
		return err
	}
	made, err := n.Write(secrets)
	if err != nil {
		return err
	}
	if a.JSON() {
		return printJSON(map[string]any{"file": cluster.File, "secrets": secrets.File, "made": append([]string{}, made.Secrets...), "key": printed})
	}
	if made.File {
		fmt.Printf("%s\n  a server and a worker as a beginning; correct boards and addresses\n", cluster.File)
	}
	fmt.Println(secrets.File)
	for _, what := range made.Secrets {
		fmt.Println("  made " + what)
	}
	if len(made.Secrets) == 0 {
		fmt.Println("  every node has its secrets")
	}
	switch {
	case printed != "":
		fmt.Printf("\nThis key opens it, and is not kept anywhere. Write it down:\n  %s\n", printed)
	case !secrets.Encrypted():
		fmt.Printf("\nIt is not encrypted: keep it out of Git.\n")
	}
	fmt.Printf("\nNext:\n  edit %s, then: imgbuild validate %[1]s\n", cluster.File)
	return nil
}

// homeDir is the user's; empty if there is none.
func homeDir() string {
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return home
}

// newSecrets opens ./cluster.secrets.yaml, or makes it. printed is a key that the user must be
// shown.
func newSecrets(how string) (s *cluster.Secrets, printed string, err error) {
	s, err = secretsOf(cluster.File, clusterWord(cluster.SecretsFile))
	switch {
	case err != nil:
		return nil, "", err
	case s.Sealed():
		return nil, "", fault.New(fault.Usage, "set "+passphraseEnv, "%s is encrypted, and there is nobody to ask for its passphrase", s.File)
	case s != nil && how != "":
		return nil, "", fault.New(fault.Usage, "leave it out", "lock= is for a new %s, and there is one", s.File)
	case s != nil:
		return s, "", nil
	}
	word := ""
	switch how {
	case "none":
	case "key":
		if word, err = cluster.NewKey(); err != nil {
			return nil, "", err
		}
		printed = word
	case "", "passphrase":
		if word, err = newClusterWord(); err != nil {
			return nil, "", err
		}
	default:
		return nil, "", line.NotKnown("lock", how, []string{"passphrase", "key", "none"})
	}
	s, err = cluster.NewSecrets(cluster.SecretsFile, word)
	return s, printed, err
}

// newClusterWord asks twice for a passphrase.
func newClusterWord() (string, error) {
	if word, ok := os.LookupEnv(passphraseEnv); ok && word != "" {
		return word, nil
	}
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return "", fault.New(fault.Usage, "set "+passphraseEnv+", or give lock=key", "there is nobody to ask for the passphrase of %s", cluster.SecretsFile)
	}
	word := string(askSecret("Passphrase for " + cluster.SecretsFile + ": "))
	if word == "" {
		return "", fault.New(fault.Usage, "type one, or give lock=key or lock=none", "the passphrase is empty")
	}
	if string(askSecret("Once more: ")) != word {
		return "", fault.New(fault.Usage, "try again", "the two passphrases differ")
	}
	return word, nil
}
