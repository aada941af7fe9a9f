package bundle

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"aead.dev/minisign"

	"imgbuild/init/contract/fault"
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
	return pub, write(file+".pub", append(open, '\n'), 0o644)
}

// write makes a file that must not be there.
func write(name string, data []byte, mode os.FileMode) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return fault.Wrap(err, fault.Input, "name another place with key=FILE; nodes that trust the old key take nothing signed by a new one", "a key is there already")
	}
	if err != nil {
		return fault.Wrap(err, fault.Device, "name another place with key=FILE", "writing the key")
	}
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		os.Remove(name)
	}
	return fault.Wrap(err, fault.Device, "free some space", "writing the key")
}

// LoadKey reads a private key, of `imgbuild keygen` or of minisign. passphrase is asked only where
// the key needs one. The error of a file that is not there is fs.ErrNotExist.
func LoadKey(file string, passphrase func() (string, error)) (minisign.PrivateKey, error) {
	var key minisign.PrivateKey
	info, err := os.Stat(file)
	if err != nil {
		return key, fault.Wrap(err, fault.Input, "make one with `imgbuild keygen`", "the signing key")
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
