package bundle

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"aead.dev/minisign"

	"imgbuild/init/contract/fault"
)

// untrusted is the first line of every signature. It is what the minisign command writes, so that
// signatures made by it are canonical too.
const untrusted = "signature from minisign secret key"

// Sign signs a text in minisign's prehashed form. comment is covered by the signature; it holds no
// line break.
func Sign(key minisign.PrivateKey, text []byte, comment string) []byte {
	r := minisign.NewReader(bytes.NewReader(text))
	io.Copy(io.Discard, r) // a bytes.Reader does not fail
	return r.SignWithComments(key, comment, untrusted)
}

// KeysFile is where a node keeps the public keys that it trusts, on its data partition.
const KeysFile = "k3os/config/upgrade.keys"

// Keys are public keys that are trusted.
type Keys []minisign.PublicKey

// ParseKeys reads public keys, one on a line as minisign prints it ("RW..."). Empty lines, lines
// that begin with # and minisign's own comment lines are passed over, so a minisign.pub file is one
// too.
func ParseKeys(text string) (Keys, error) {
	var keys Keys
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "untrusted comment:") {
			continue
		}
		k, err := ParseKey(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		keys = keys.Add(k)
	}
	return keys, nil
}

// ParseKey reads one public key.
func ParseKey(s string) (minisign.PublicKey, error) {
	var k minisign.PublicKey
	if err := k.UnmarshalText([]byte(s)); err != nil || k.String() != s {
		return k, fault.New(fault.Input, "give the line of minisign.pub, or of `imgbuild keygen`, that begins with RW", "%q is not a minisign public key", s)
	}
	return k, nil
}

// KeyID is a private key's id as minisign shows it.
func KeyID(k *minisign.PrivateKey) string { return fmt.Sprintf("%016X", k.ID()) }

// Add returns the keys with k, once.
func (keys Keys) Add(k minisign.PublicKey) Keys {
	for _, have := range keys {
		if have.Equal(k) {
			return keys
		}
	}
	return append(keys, k)
}

// String returns the keys as ParseKeys reads them.
func (keys Keys) String() string {
	var b strings.Builder
	for _, k := range keys {
		b.WriteString(k.String() + "\n")
	}
	return b.String()
}

// Verify returns the key that signed text. Only the prehashed form is taken, and only its canonical
// text: no byte of a signature, its comments included, can change unnoticed.
func (keys Keys) Verify(text, signature []byte) (minisign.PublicKey, error) {
	var none minisign.PublicKey
	if len(keys) == 0 {
		return none, fault.New(fault.Verify, "add the maker's key with `shelf key add`, or under upgrade.keys in the configuration", "no key is trusted on this machine")
	}
	var s minisign.Signature
	if len(signature) > MaxSignature || s.UnmarshalText(signature) != nil {
		return none, damaged("the bundle's signature is not a minisign signature")
	}
	if s.Algorithm != minisign.HashEdDSA {
		return none, damaged("the bundle's signature is not in minisign's prehashed form")
	}
	if again, err := s.MarshalText(); err != nil || s.UntrustedComment != untrusted || !bytes.Equal(again, signature) {
		return none, damaged("the bundle's signature is not in its canonical form")
	}
	for _, k := range keys {
		if k.ID() != s.KeyID {
			continue
		}
		r := minisign.NewReader(bytes.NewReader(text))
		io.Copy(io.Discard, r) // a bytes.Reader does not fail
		if r.Verify(k, signature) {
			return k, nil
		}
		return none, damaged("the bundle's manifest is not what key %X signed", k.ID())
	}
	return none, fault.New(fault.Verify, "add the maker's key with `shelf key add` if you trust it", "the bundle is signed by key %X, which is not trusted here", s.KeyID)
}
