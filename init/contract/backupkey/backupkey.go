// Package backupkey is the file that reads backups of storage nodes on servers. imgbuild makes it;
// a node sees it only while it restores.
package backupkey

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"imgbuild/init/contract/fault"

	"filippo.io/age"
)

// signerLine begins the line with the public half of the key that signs, in base64.
const signerLine = "# signer: "

// Identity is what reads backups: the age identities that decrypt them, and the key by which their
// lists are signed.
type Identity struct {
	Keys   []age.Identity
	Signer ed25519.PublicKey
}

// Pair is a new identity and what a node needs to write for it.
type Pair struct {
	File       string // the content of the identity's file
	Recipient  string // storage.backup.to.NAME.recipients
	SigningKey string // storage.backup.to.NAME.signing_key
}

// New makes an identity.
func New() (Pair, error) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return Pair{}, err
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return Pair{}, err
	}
	p := Pair{Recipient: id.Recipient().String(), SigningKey: base64.StdEncoding.EncodeToString(private.Seed())}
	p.File = fmt.Sprintf("# Reads the backups of storage nodes. Keep it, and a copy elsewhere; it belongs on no node.\n# recipient: %s\n# signing_key: %s\n%s%s\n%s\n",
		p.Recipient, p.SigningKey, signerLine, base64.StdEncoding.EncodeToString(public), id)
	return p, nil
}

// Write writes the identity to a file for its owner alone, which must not exist.
func (p Pair) Write(file string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fault.New(fault.Input, "keep it: backups need it; or give key=FILE for another one", "%s exists", file)
	} else if err != nil {
		return err
	}
	_, err = f.WriteString(p.File)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		_ = os.Remove(file)
	}
	return err
}

// Parse reads the file of an identity.
func Parse(text string) (Identity, error) {
	const fix = "give the file that `imgbuild keygen backup` made"
	var id Identity
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, signerLine); ok {
			key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(rest))
			if err != nil || len(key) != ed25519.PublicKeySize {
				return Identity{}, fault.New(fault.Input, fix, "the line of the signer is damaged")
			}
			id.Signer = key
		}
	}
	keys, err := age.ParseIdentities(strings.NewReader(text))
	if err != nil || id.Signer == nil {
		return Identity{}, fault.New(fault.Input, fix, "this is not an identity for backups")
	}
	id.Keys = keys
	return id, nil
}
