package bundle

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"aead.dev/minisign"

	"imgbuild/init/contract/bundle"
	"imgbuild/init/contract/channel"
	"imgbuild/init/contract/fault"
	"imgbuild/qemu/fixtures/testslot"
)

// A channel names what its bundles hold, and nodes read it.
func TestChannel(t *testing.T) {
	pub, key, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	slot, err := Open(&disk{fail: -1, data: testslot.New(t, testslot.Version{})})
	if err != nil {
		t.Fatal(err)
	}
	b, err := Sign(slot, key, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	file, name := filepath.Join(dir, "shelf.channel"), filepath.Join(dir, "one.upgrade")
	if err := WriteFile(t.Context(), name, b); err != nil {
		t.Fatal(err)
	}
	if _, err := WriteChannel(file, []string{name}, key, 1_800_000_000); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	signature, err2 := os.ReadFile(file + channel.Suffix)
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	c, err := channel.Open(bundle.Keys{pub}, text, signature)
	if err != nil {
		t.Fatal(err)
	}
	m := slot.Slot.Manifest
	if s := c.For(m.Family, m.Arch, m.Roles[0]); s == nil || s.Version != m.Version || s.Date != m.Date || s.Manifest != slot.Hex() || s.Bundle != "one.upgrade" || c.Issued != 1_800_000_000 {
		t.Errorf("got %+v", c)
	}
	other := filepath.Join(dir, "other.channel")
	for what, list := range map[string][]string{"the same twice": {name, name}, "no bundle": {file}, "nothing there": {filepath.Join(dir, "no")}} {
		if _, err := WriteChannel(other, list, key, 1); fault.Code(err) != int(fault.Input) {
			t.Errorf("%s: got %v", what, err)
		}
		if _, err := os.Stat(other); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: a file was written", what)
		}
	}
}
