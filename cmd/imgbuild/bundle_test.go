package main

import (
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"aead.dev/minisign"

	"imgbuild/init/contract/fault"
	"imgbuild/qemu/fixtures/testbundle"
	"imgbuild/qemu/fixtures/testslot"
)

// Keys without a value are named, and a missing file is reported before anybody is asked for the
// passphrase of a key.
func TestBundleRefusals(t *testing.T) {
	silence(t)
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("XDG_CONFIG_HOME", dir)
	key := filepath.Join(dir, "locked")
	// An encrypted key; nobody is there to type its passphrase.
	if err := os.WriteFile(key, []byte("untrusted comment: minisign encrypted secret key\nRWRTY0Iy"+strings.Repeat("A", 204)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	none := filepath.Join(dir, "none.upgrade")
	for words, c := range map[string]struct {
		code  fault.Kind
		shows string
	}{
		"bundle channel=":                                  {fault.Usage, "channel= has no value"},
		"bundle channel= " + none:                          {fault.Usage, "channel= has no value"},
		"bundle oci= " + none:                              {fault.Usage, "oci= has no value"},
		"bundle sign=" + key + " " + none:                  {fault.Input, "none.upgrade"},
		"bundle sign=" + key + " from=" + none + " " + key: {fault.Input, "none.upgrade"},
		"bundle channel=x sign=" + key + " " + none:        {fault.Input, "none.upgrade"},
		"bundle oci=registry.lan/shelf " + none:            {fault.Input, "none.upgrade"},
		"bundle oci=registry.lan/shelf":                    {fault.Usage, "oci= wants"},
		"bundle oci=registry.lan/shelf floor=2 " + none:    {fault.Usage, "oci= and floor="},
		"firmware":         {fault.Usage, "one card"},
		"firmware " + none: {fault.Input, "none.upgrade"},
		"firmware " + key:  {fault.Device, "locked"},
		"upgrade a b firmware=yes bundle=" + none: {fault.Usage, "one node at a time"},
	} {
		err := dispatch(context.Background(), strings.Fields(words))
		if fault.Code(err) != int(c.code) || !strings.Contains(err.Error(), c.shows) {
			t.Errorf("%s: got %v, want code %d with %q", words, err, c.code, c.shows)
		}
	}
}

// TestPlanImage: the command writes the image with the program that imgbuild carries.
func TestPlanImage(t *testing.T) {
	printed := silence(t)
	dir := t.TempDir()
	_, key, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	file, out := filepath.Join(dir, "new.upgrade"), filepath.Join(dir, "plan.tar")
	if err := os.WriteFile(file, testbundle.Make(t, testslot.New(t, testslot.Version{}), key, 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := dispatch(context.Background(), []string{"bundle", "oci=" + out, file}); err != nil {
		t.Fatal(err)
	}
	if text := printed(); !strings.Contains(text, "localhost/shelf-upgrade:v0.0.0") || !strings.Contains(text, "sha256:") || !strings.Contains(text, "rpi64, worker") {
		t.Errorf("printed %q", text)
	}
	st, err := os.Stat(out)
	if err != nil || st.Size() < 5<<20 {
		t.Errorf("the image is %v, %v", st, err)
	}
}
