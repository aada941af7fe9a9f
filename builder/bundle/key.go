package bundle

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"aead.dev/minisign"

	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/bundle"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/userfile"
)

// KeyFile is the default place of the private key: imgbuild/key in the user's
// configuration directory.
func KeyFile() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fault.Wrap(err, fault.Input, "name the file with key=FILE, or set HOME", "no directory for the key")
	}
	return filepath.Join(dir, "imgbuild", "key"), nil
}

// NewKey makes a key and writes it to file, readable for its owner only, and the public one to
// file.pub. Both have minisign's form. An empty passphrase leaves the private key as it is. A key
// that is there is never replaced.
func NewKey(file, passphrase string) (minisign.PublicKey, error) {
	return newKey(file, passphrase, hard)
}

func newKey(file, passphrase string, cost int) (minisign.PublicKey, error) {
	pub, key, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		return pub, err
	}
	text, err := key.MarshalText()
	if passphrase != "" {
		text, err = lockKey(passphrase, key, cost)
	}
	if err != nil {
		return pub, err
	}
	open, err := pub.MarshalText()
	if err != nil {
		return pub, err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return pub, fault.Wrap(err, fault.Device, "name another place with key=FILE", "making the directory of the key")
	}
	if err := write(file, append(text, '\n'), 0o600); err != nil {
		return pub, err
	}
	if err := write(file+".pub", append(open, '\n'), 0o644); err != nil {
		_ = os.Remove(file) // half a pair is none; it was not there before
		return pub, err
	}
	return pub, nil
}

// NewKeyText makes a private key without a passphrase, in minisign's form, for a file that is
// encrypted as a whole.
func NewKeyText() (string, error) {
	_, key, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		return "", err
	}
	text, err := key.MarshalText()
	return string(text), err
}

// ParseKey reads a private key without a passphrase; file is where it is from.
func ParseKey(file, text string) (*minisign.PrivateKey, error) {
	var key minisign.PrivateKey
	if err := key.UnmarshalText([]byte(strings.TrimSpace(text))); err != nil {
		return nil, fault.Wrap(err, fault.Input, "give one that `imgbuild new cluster` has made", "the signing key in %s", file)
	}
	return &key, nil
}

// write makes a file that must not be there, whole or not at all.
func write(name string, data []byte, mode os.FileMode) error {
	f, err := atomicfile.Create(filepath.Dir(name), mode)
	if err != nil {
		return fault.Wrap(err, fault.Device, "name another place with key=FILE", "writing the key")
	}
	defer f.Close()
	if _, err = f.Write(data); err == nil {
		err = f.CommitNew(name)
	}
	if errors.Is(err, fs.ErrExist) {
		return fault.New(fault.Input, "name another place with key=FILE; nodes that trust the old key take nothing signed by a new one", "a key is there already, %s", name)
	}
	return fault.Wrap(err, fault.Device, "free some space", "writing the key")
}

// FindKey loads the private key of a file: the one that is named, else the default one, which need
// not be there; nil for none, and for the name none. passphrase is called with the file's name.
func FindKey(name string, passphrase func(file string) (string, error)) (*minisign.PrivateKey, error) {
	if name == "none" {
		return nil, nil
	}
	file, err := placeOf(name)
	if err != nil {
		return nil, nil // no home, no key
	}
	k, err := LoadKey(file, func() (string, error) { return passphrase(file) })
	if errors.Is(err, fs.ErrNotExist) && name == "" {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &k, nil
}

// placeOf is where the private key is: the file that is named, else the default one.
func placeOf(name string) (string, error) {
	if name != "" {
		return name, nil
	}
	return KeyFile()
}

// PublicKeys returns the public half of a private key (FindKey has the names), from the file next
// to it; nil if there is none.
func PublicKeys(name string) bundle.Keys {
	file, err := placeOf(name)
	if err != nil {
		return nil
	}
	text, err := os.ReadFile(file + ".pub")
	if err != nil {
		return nil
	}
	keys, err := bundle.ParseKeys(string(text))
	if err != nil {
		return nil // another file of that name
	}
	return keys
}

// LoadKey reads a private key, of `imgbuild keygen` or of minisign. passphrase is asked only where
// the key needs one. The error of a file that is not there is fs.ErrNotExist.
func LoadKey(file string, passphrase func() (string, error)) (minisign.PrivateKey, error) {
	var key minisign.PrivateKey
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return key, fault.New(fault.Input, "make one with `imgbuild keygen`", "the signing key: %w", err)
	}
	if err == nil {
		var f *os.File
		if f, err = userfile.Open("", file); err == nil {
			f.Close()
		}
	}
	if err != nil {
		return key, fault.Wrap(err, fault.Input, "", "the signing key")
	}
	if info.Mode().Perm()&0o077 != 0 {
		return key, fault.New(fault.Input, "chmod 600 "+file, "the signing key %s can be read by others", file)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return key, fault.Wrap(err, fault.Input, "", "the signing key")
	}
	if !minisign.IsEncrypted(text) {
		err := key.UnmarshalText(text)
		return key, fault.Wrap(err, fault.Input, "give the file that `imgbuild keygen` has made", "the signing key %s", file)
	}
	word, err := passphrase()
	if err != nil {
		return key, err
	}
	key, err = minisign.DecryptKey(word, text)
	return key, fault.Wrap(err, fault.Input, "give its passphrase", "the signing key %s", file)
}
