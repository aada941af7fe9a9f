package main

import (
	"context"
	"fmt"
	"os"

	"aead.dev/minisign"
	"golang.org/x/term"

	"imgbuild/builder/bundle"
	"imgbuild/cmd/line"
	"imgbuild/init/contract/fault"
)

// signKey names the private key of upgrades.
var signKey = line.Key{Name: "sign", Value: "FILE|none", Doc: "Private key that signs upgrades; default that of ./cluster.secrets.yaml, else ~/.config/imgbuild/key, if it is there."}

var keygen = line.Verb{
	Name:     "keygen",
	Operands: "[backup]",
	Words:    "backup",
	Summary:  "Make the key that signs your upgrades. Nodes take only what a key signed that they know. With backup: the identity that reads backups of storage nodes on servers.",
	Keys: []line.Key{{Name: "key", Value: "FILE", Doc: "Where to put it; default ~/.config/imgbuild/key. FILE.pub is the public half. With backup ~/.config/imgbuild/backup-identity, one file."},
		{Name: "passphrase", Value: "yes|no", Doc: "Ask for a passphrase to lock it with. Default yes on a terminal, else IMGBUILD_PASSPHRASE or none."}, line.Output},
	Examples: []string{"imgbuild keygen", "imgbuild keygen key=/media/stick/key passphrase=no", "imgbuild keygen backup"},
	Run:      doKeygen,
}

func doKeygen(_ context.Context, a *line.Args) error {
	switch {
	case len(a.Operands) == 1 && a.Operands[0] == "backup":
		return backupKeys(a)
	case len(a.Operands) > 0:
		return fault.New(fault.Usage, "run imgbuild help keygen", "keygen takes no %q", a.Operands[0])
	}
	file := a.Values["key"]
	if file == "" {
		var err error
		if file, err = bundle.KeyFile(); err != nil {
			return err
		}
	}
	locked, err := a.Bool("passphrase", true)
	if err != nil {
		return err
	}
	word := ""
	if locked {
		if word, err = newPassphrase(a.Values["passphrase"] == "yes"); err != nil {
			return err
		}
	}
	pub, err := bundle.NewKey(file, word)
	if err != nil {
		return err
	}
	if a.JSON() {
		return printJSON(map[string]string{"key": file, "public": pub.String()})
	}
	fmt.Printf(`%s
  the public key is %s
  keep a copy of the private one: without it your nodes take no upgrade until they trust another key

Images that you build from now on trust it. A node that runs already learns it from its configuration:
  upgrade: {keys: [%s]}
`, file, pub, pub)
	return nil
}

// passphraseEnv holds the passphrase where nobody can be asked.
const passphraseEnv = "IMGBUILD_PASSPHRASE"

// newPassphrase asks twice, if somebody is there. An empty one is none, unless must.
func newPassphrase(must bool) (string, error) {
	word, given := os.LookupEnv(passphraseEnv)
	if !given && term.IsTerminal(int(os.Stdin.Fd())) {
		word = string(askSecret("Passphrase for the new key (empty for none): "))
		if word != "" && string(askSecret("Once more: ")) != word {
			return "", fault.New(fault.Usage, "try again", "the two passphrases differ")
		}
	}
	if word == "" && must {
		return "", fault.New(fault.Usage, "type one, or set "+passphraseEnv, "passphrase=yes and no passphrase")
	}
	return word, nil
}

// signingKey loads the private key: the one that is named, else that of ./cluster.secrets.yaml,
// else the default one, which need not be there; nil for none.
func signingKey(name string) (*minisign.PrivateKey, error) {
	if name == "" {
		if key, err := clusterKey(); key != nil || err != nil {
			return key, err
		}
	}
	return bundle.FindKey(name, func(file string) (string, error) {
		if word, ok := os.LookupEnv(passphraseEnv); ok {
			return word, nil
		}
		if !term.IsTerminal(int(os.Stdin.Fd())) {
			return "", fault.New(fault.Usage, "set "+passphraseEnv+", or sign=none", "the signing key %s has a passphrase, and there is nobody to ask", file)
		}
		return string(askSecret("Passphrase of " + file + ": ")), nil
	})
}
