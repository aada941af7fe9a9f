package debian

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"imgbuild/init/contract/fault"
)

// The public keys of the archive for Debian 12 and 13, as the package debian-archive-keyring
// installs them.
//
//go:embed keys/*.gpg
var keyFiles embed.FS

// Keyring is a set of OpenPGP keys that may sign an archive.
type Keyring = openpgp.EntityList

// DebianKeyring returns the keys that the program carries: automatic, security automatic and stable
// ones of Debian 12 and 13, in the order of their file names.
func DebianKeyring() Keyring {
	list, err := keyFiles.ReadDir("keys")
	if err != nil {
		panic(err) // embedded
	}
	var all Keyring
	for _, e := range list {
		raw, err := keyFiles.ReadFile("keys/" + e.Name())
		if err != nil {
			panic(err)
		}
		keys, err := openpgp.ReadKeyRing(bytes.NewReader(raw))
		if err != nil {
			panic(fmt.Sprintf("keys/%s: %v", e.Name(), err))
		}
		all = append(all, keys...)
	}
	return all
}

// verifyInRelease checks the clear-signed text of suite and reads it. One good signature of a known
// key is enough. signers are the fingerprints of the primary keys whose signature is good, in
// hexadecimal.
func verifyInRelease(suite string, raw []byte, keys Keyring, now time.Time) (r *release, signers []string, err error) {
	fix := "the archive or the way to it is not to be trusted: try another one with mirror=URL"
	block, _ := clearsign.Decode(raw)
	if block == nil {
		return nil, nil, fault.New(fault.Verify, fix, "InRelease of %s is not a signed file (a login page of the network?)", suite)
	}
	signature, err := io.ReadAll(block.ArmoredSignature.Body)
	if err != nil {
		return nil, nil, fault.Wrap(err, fault.Verify, fix, "InRelease of %s: its signature cannot be read", suite)
	}
	var why error = pgperrors.ErrUnknownIssuer
	for _, key := range keys {
		signer, err := openpgp.CheckDetachedSignature(Keyring{key}, bytes.NewReader(block.Bytes), bytes.NewReader(signature),
			&packet.Config{Time: func() time.Time { return now }})
		if err == nil {
			signers = append(signers, hex.EncodeToString(signer.PrimaryKey.Fingerprint))
		} else if !errors.Is(err, pgperrors.ErrUnknownIssuer) {
			why = err
		}
	}
	if len(signers) == 0 {
		what := fmt.Sprintf("InRelease of %s has no good signature of a known key", suite)
		switch {
		case errors.Is(why, pgperrors.ErrUnknownIssuer):
			return nil, nil, fault.New(fault.Verify, fix, "InRelease of %s is not signed by a key of Debian that is known here", suite)
		case errors.Is(why, pgperrors.ErrSignatureExpired), errors.Is(why, pgperrors.ErrKeyExpired):
			return nil, nil, fault.Wrap(why, fault.Verify, fmt.Sprintf("the clock of this machine is at %s: set it if that is wrong", now.UTC().Format(time.DateTime)),
				"%s", what)
		}
		return nil, nil, fault.Wrap(why, fault.Verify, fix, "%s", what)
	}
	if r, err = parseRelease(block.Plaintext); err != nil {
		return nil, nil, fault.Wrap(err, fault.Verify, fix, "InRelease of %s", suite)
	}
	if name := strings.TrimSuffix(suite, "/"); r.Codename != name && r.Suite != name {
		return nil, nil, fault.New(fault.Verify, fix, "InRelease of %s is that of another suite, %s (%s)", suite, r.Codename, r.Suite)
	}
	if !r.ValidUntil.IsZero() && now.After(r.ValidUntil) {
		return nil, nil, fault.New(fault.Verify,
			fmt.Sprintf("take another archive with mirror=URL; or, if it is not %s now, set the clock", now.UTC().Format(time.DateTime)),
			"InRelease of %s was valid until %s: the archive is out of date", suite, r.ValidUntil.Format(time.DateTime))
	}
	return r, signers, nil
}

// sumHex is the sha256 of data in hexadecimal.
func sumHex(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
