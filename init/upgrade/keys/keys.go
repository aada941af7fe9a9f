// Package keys is whom a node takes upgrades from: the keys on its data partition, and those that
// its configuration names.
package keys

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"aead.dev/minisign"

	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/bundle"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/userfile"
)

// Path is bundle.KeysFile on a running node.
const Path = "/" + bundle.KeysFile

// most bounds a file of keys in bytes.
const most = 64 << 10

// Load returns the keys of a file and those of the configuration. A file that is missing has none.
// Keys of the configuration that are none were reported when it was read, and are left out here.
func Load(path string, configured []string) (bundle.Keys, error) {
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fault.Wrap(err, fault.Device, "", "the trusted keys")
	}
	keys, err := bundle.ParseKeys(string(text))
	if err != nil {
		return nil, fault.Wrap(err, fault.Input, "correct the line, or remove it", "%s", path)
	}
	for _, c := range configured {
		if k, err := bundle.ParseKey(c); err == nil {
			keys = keys.Add(k)
		}
	}
	return keys, nil
}

// Add adds keys to a file and returns those that are new in it.
func Add(path string, more bundle.Keys) (bundle.Keys, error) {
	have, err := Load(path, nil)
	if err != nil {
		return nil, err
	}
	var fresh bundle.Keys
	all := have
	for _, k := range more {
		if with := all.Add(k); len(with) > len(all) {
			fresh, all = append(fresh, k), with
		}
	}
	if len(fresh) == 0 {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if n := len(text); n > 0 && text[n-1] != '\n' {
		text = append(text, '\n')
	}
	text = append(text, fresh.String()...) // what people have written there stays
	if len(text) > most {
		return nil, fault.New(fault.Input, "remove keys that are not used any more from "+path, "there are too many keys")
	}
	err = atomicfile.Write(path, text, 0o644)
	return fresh, fault.Wrap(err, fault.Device, "", "the trusted keys")
}

// Signed checks that a file of keys was signed by a trusted key, as the minisign command signs it
// (FILE.minisig), and returns the signer and the keys.
func Signed(trusted bundle.Keys, text, signature []byte) (by minisign.PublicKey, more bundle.Keys, err error) {
	if by, err = trusted.Verify(text, signature); err != nil {
		return by, nil, fmt.Errorf("the file of keys: %w", err)
	}
	more, err = bundle.ParseKeys(string(text))
	return by, more, err
}

// Read returns the key that a word is (RW...), or those of the file that it names. A signature next
// to the file (FILE.minisig) must be of a trusted key; without one the person at the node answers
// for it.
func Read(word string, trusted bundle.Keys) (bundle.Keys, error) {
	if strings.HasPrefix(word, "RW") {
		k, err := bundle.ParseKey(word)
		if err != nil {
			return nil, err
		}
		return bundle.Keys{k}, nil
	}
	text, err := userfile.Read("", word)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.New(fault.Input, "give a key (RW...) or a file of keys", "%s does not exist", word)
	}
	if err != nil {
		return nil, err
	}
	signature, err := os.ReadFile(word + ".minisig")
	if errors.Is(err, fs.ErrNotExist) {
		return bundle.ParseKeys(string(text))
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.Input, "", "")
	}
	_, more, err := Signed(trusted, text, signature)
	return more, err
}
