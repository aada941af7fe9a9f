package cluster

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"

	"imgbuild/init/contract/fault"
)

// lock encrypts and decrypts a file: with a passphrase, or with a key that is kept on paper.
type lock struct {
	identity  age.Identity
	recipient age.Recipient
}

// keyPrefix begins a secret key of age's.
const keyPrefix = "AGE-SECRET-KEY-"

// newLock makes the lock of a passphrase or of a secret key.
func newLock(word string) (*lock, error) {
	word = strings.TrimSpace(word)
	if word == "" {
		return nil, fault.New(fault.Usage, "type one, or set IMGBUILD_PASSPHRASE", "the passphrase of %s is empty", SecretsFile)
	}
	if strings.HasPrefix(strings.ToUpper(word), keyPrefix) {
		i, err := age.ParseX25519Identity(strings.ToUpper(word))
		if err != nil {
			return nil, fault.New(fault.Input, "type all of the line again", "that is not a whole key of age's")
		}
		return &lock{i, i.Recipient()}, nil
	}
	i, err := age.NewScryptIdentity(word)
	if err != nil {
		return nil, err
	}
	r, err := age.NewScryptRecipient(word)
	return &lock{i, r}, err
}

// NewKey makes a secret key of age's, for those who want no passphrase.
func NewKey() (string, error) {
	i, err := age.GenerateX25519Identity()
	if err != nil {
		return "", err
	}
	return i.String(), nil
}

// maxClear bounds a decrypted file, in bytes.
const maxClear = 1 << 20

var begin = []byte(armor.Header)

// isSealed reports whether data is an encrypted file.
func isSealed(data []byte) bool {
	data = bytes.TrimLeft(data, " \t\r\n")
	return bytes.HasPrefix(data, begin) || bytes.HasPrefix(data, []byte("age-encryption.org/"))
}

func (l *lock) open(data []byte) ([]byte, error) {
	var in io.Reader = bytes.NewReader(data)
	if trimmed := bytes.TrimLeft(data, " \t\r\n"); bytes.HasPrefix(trimmed, begin) {
		in = armor.NewReader(bytes.NewReader(trimmed))
	}
	r, err := age.Decrypt(in, l.identity)
	var wrong *age.NoIdentityMatchError
	switch {
	case errors.As(err, &wrong):
		return nil, errors.New("it is the wrong passphrase or key")
	case err != nil:
		return nil, err
	}
	out, err := io.ReadAll(io.LimitReader(r, maxClear+1))
	if err == nil && len(out) > maxClear {
		err = errors.New("it holds more than 1 MiB")
	}
	return out, err
}

func (l *lock) seal(text []byte) ([]byte, error) {
	var out bytes.Buffer
	a := armor.NewWriter(&out)
	w, err := age.Encrypt(a, l.recipient)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(text); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	if err := a.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
