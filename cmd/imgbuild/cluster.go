package main

import (
	"fmt"
	"os"
	"path/filepath"

	"aead.dev/minisign"
	"golang.org/x/term"

	"imgbuild/builder/bundle"
	"imgbuild/builder/cluster"
	"imgbuild/cmd/line"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
)

// clusterWord asks for what opens a file of secrets; nil where nobody can be asked.
func clusterWord(file string) func() (string, error) {
	if word, ok := os.LookupEnv(passphraseEnv); ok {
		return func() (string, error) { return word, nil }
	}
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return nil
	}
	return func() (string, error) {
		if typedWord == "" {
			typedWord = string(askSecret("Passphrase or key of " + file + ": "))
		}
		return typedWord, nil
	}
}

// typedWord is what the user has typed: one command may open the file more than once.
var typedWord string

// secretsOf opens the secrets that belong to a cluster file.
func secretsOf(file string, word func() (string, error)) (*cluster.Secrets, error) {
	return cluster.OpenSecrets(filepath.Join(filepath.Dir(file), cluster.SecretsFile), word)
}

// validateCluster checks a file of nodes. Secrets that cannot be opened here are left out.
func validateCluster(a *line.Args, file string) ([]config.Problem, error) {
	if a.Values["board"] != "" || a.Values["role"] != "" || a.Values["lenient"] != "" {
		return nil, fault.New(fault.Usage, "leave them out", "%s has the boards and roles itself: board=, role= and lenient= are for a cloud-config", file)
	}
	secrets, err := secretsOf(file, clusterWord(cluster.SecretsFile))
	if err != nil {
		return nil, err
	}
	if secrets.Sealed() {
		fmt.Fprintf(os.Stderr, "%s is encrypted; without %s its secrets are not checked\n", secrets.File, passphraseEnv)
	}
	_, problems, err := cluster.Check(file, secrets)
	return problems, err
}

// clusterKey is the signing key of ./cluster.secrets.yaml; nil where there is no such file, or it
// has no key.
func clusterKey() (*minisign.PrivateKey, error) {
	s, err := secretsOf(cluster.File, clusterWord(cluster.SecretsFile))
	if err != nil || s == nil {
		return nil, err
	}
	if s.Sealed() {
		return nil, fault.New(fault.Usage, "set "+passphraseEnv+", or give sign=none", "%s has the signing key, and there is nobody to ask for its passphrase", s.File)
	}
	if s.SigningKey() == "" {
		return nil, nil
	}
	return bundle.ParseKey(s.File, s.SigningKey())
}
