package backupkey

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"io"
	"strings"
	"testing"

	"imgbuild/init/contract/fault"

	"filippo.io/age"
)

// What is written to the recipient is read with the file, and what the signing key signs has its
// signer.
func TestNew(t *testing.T) {
	p, err := New()
	if err != nil {
		t.Fatal(err)
	}
	id, err := Parse(p.File)
	if err != nil {
		t.Fatal(err)
	}
	r, err := age.ParseX25519Recipient(p.Recipient)
	if err != nil {
		t.Fatal(err)
	}
	var box bytes.Buffer
	w, err := age.Encrypt(&box, r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, "text"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	out, err := age.Decrypt(&box, id.Keys...)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(out); err != nil || string(text) != "text" {
		t.Errorf("got %q, %v, want text", text, err)
	}
	seed, err := base64.StdEncoding.DecodeString(p.SigningKey)
	if err != nil || !ed25519.Verify(id.Signer, []byte("m"), ed25519.Sign(ed25519.NewKeyFromSeed(seed), []byte("m"))) {
		t.Errorf("the signing key is not that of the signer: %v", err)
	}
	if q, err := New(); err != nil || q.Recipient == p.Recipient || q.SigningKey == p.SigningKey {
		t.Errorf("two identities are the same: %v", err)
	}
}

func TestParse(t *testing.T) {
	p, err := New()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(p.File, "\n")
	key, signer := lines[4], lines[3]
	for name, text := range map[string]string{
		"no signer": key, "no key": signer, "nothing": "", "a short signer": signerLine + "AAAA\n" + key, "the recipient": signer + p.Recipient, "damaged": signer + key[:40],
	} {
		if _, err := Parse(text); fault.Code(err) != int(fault.Input) || strings.Contains(err.Error(), "AGE-SECRET") {
			t.Errorf("%s: got %v, want an input error without the secret", name, err)
		}
	}
}
