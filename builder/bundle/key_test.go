package bundle

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"aead.dev/minisign"

	"imgbuild/builder/blockcache"
	"imgbuild/init/contract/bundle"
	"imgbuild/init/contract/fault"
	"imgbuild/qemu/tool"
)

func noPassphrase() (string, error) { return "", errors.New("nobody to ask") }

func kindOf(err error) fault.Kind { return fault.Kind(fault.Code(err)) }

func TestKeyFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "new", "key")
	if _, err := LoadKey(file, noPassphrase); !errors.Is(err, fs.ErrNotExist) || kindOf(err) != fault.Input {
		t.Errorf("no key: %v", err)
	}
	pub, err := NewKey(file, "")
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("the key has mode %v, %v, want 0o600", info.Mode(), err)
	}
	key, err := LoadKey(file, noPassphrase)
	if err != nil || !pub.Equal(key.Public()) {
		t.Errorf("another key comes back: %v", err)
	}
	text, err := os.ReadFile(file + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	if keys, err := bundle.ParseKeys(string(text)); err != nil || len(keys) != 1 || !keys[0].Equal(pub) {
		t.Errorf("%q reads as %v, %v", text, keys, err)
	}
	before, _ := os.ReadFile(file)
	if _, err := NewKey(file, ""); kindOf(err) != fault.Input {
		t.Errorf("a key is replaced: %v, want kind %v", err, fault.Input)
	}
	if after, _ := os.ReadFile(file); !bytes.Equal(before, after) {
		t.Error("the key was changed")
	}
	// A public key that is there is not replaced either, and half a pair is not left behind.
	other := filepath.Join(filepath.Dir(file), "other")
	os.WriteFile(other+".pub", []byte("mine"), 0o644)
	if _, err := NewKey(other, ""); kindOf(err) != fault.Input {
		t.Errorf("a public key is there: got %v, want kind %v", err, fault.Input)
	}
	if _, err := os.Stat(other); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a private key without its public one: got %v, want none", err)
	}
	if text, _ := os.ReadFile(other + ".pub"); string(text) != "mine" {
		t.Errorf("the public key became %q, want %q", text, "mine")
	}
	os.Chmod(file, 0o640)
	if _, err := LoadKey(file, noPassphrase); kindOf(err) != fault.Input {
		t.Errorf("a key that others can read: %v, want kind %v", err, fault.Input)
	}
	os.Chmod(file, 0o600)
	for n := range before[:len(before)-1] {
		os.WriteFile(file, before[:n], 0o600)
		if _, err := LoadKey(file, noPassphrase); err == nil {
			t.Errorf("%d of %d bytes are a key", n, len(before))
		}
	}
}

// TestMinisign: keys and signatures of both go with the other.
func TestMinisign(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	run := func(input string, args ...string) error {
		cmd := exec.Command(tool.Path(t, "minisign"), args...)
		cmd.Stdin = strings.NewReader(input)
		out, err := cmd.CombinedOutput()
		if err != nil {
			return errors.New(err.Error() + ": " + string(out))
		}
		return nil
	}
	text := []byte("what is signed\n")
	if err := os.WriteFile(at("text"), text, 0o644); err != nil {
		t.Fatal(err)
	}
	ours, err := NewKey(at("ours"), "")
	if err != nil {
		t.Fatal(err)
	}
	key, err := LoadKey(at("ours"), noPassphrase)
	if err != nil {
		t.Fatal(err)
	}
	os.WriteFile(at("sig"), bundle.Sign(key, text, "a comment"), 0o644)
	if err := run("", "-V", "-H", "-p", at("ours.pub"), "-m", at("text"), "-x", at("sig")); err != nil {
		t.Errorf("minisign refuses our signature: %v", err)
	}
	if err := run("", "-S", "-s", at("ours"), "-t", "theirs", "-m", at("text"), "-x", at("sig2")); err != nil {
		t.Fatalf("minisign cannot use our key: %v", err)
	}
	sig, _ := os.ReadFile(at("sig2"))
	if _, err := (bundle.Keys{ours}).Verify(text, sig); err != nil {
		t.Errorf("minisign's signature with our key: %v\n%s", err, sig)
	}
	if err := run("", "-G", "-W", "-p", at("theirs.pub"), "-s", at("theirs")); err != nil {
		t.Fatal(err)
	}
	os.Chmod(at("theirs"), 0o600)
	key, err = LoadKey(at("theirs"), noPassphrase)
	if err != nil {
		t.Fatal(err)
	}
	pub, _ := os.ReadFile(at("theirs.pub"))
	keys, err := bundle.ParseKeys(string(pub))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Verify(text, bundle.Sign(key, text, "x")); err != nil {
		t.Errorf("our signature with minisign's key: %v", err)
	}
	// With a passphrase: ours opened by minisign, at the lowest cost that it takes.
	if _, err := newKey(at("locked"), "correct horse", 1<<10); err != nil {
		t.Fatal(err)
	}
	if err := run("correct horse\n", "-S", "-s", at("locked"), "-m", at("text"), "-x", at("sig3")); err != nil {
		t.Errorf("minisign cannot open our key: %v", err)
	}
	if _, err := LoadKey(at("locked"), func() (string, error) { return "wrong", nil }); kindOf(err) != fault.Input {
		t.Errorf("a wrong passphrase: %v, want kind %v", err, fault.Input)
	}
	if key, err = LoadKey(at("locked"), func() (string, error) { return "correct horse", nil }); err != nil {
		t.Error(err)
	}
	sig, _ = os.ReadFile(at("sig3"))
	locked, _ := os.ReadFile(at("locked.pub"))
	if keys, err = bundle.ParseKeys(string(locked)); err != nil || !keys[0].Equal(key.Public()) {
		t.Errorf("the key that was locked is another one: %v", err)
	}
	if _, err := keys.Verify(text, sig); err != nil {
		t.Error(err)
	}
}

// The limits in a key are those for which libsodium takes the cost that the key was made with;
// those of new keys are minisign's own (crypto_pwhash_scryptsalsa208sha256_OPSLIMIT_SENSITIVE and
// MEMLIMIT_SENSITIVE).
func TestKeyCost(t *testing.T) {
	_, key, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for cost, want := range map[int][2]uint64{1 << 10: {1 << 15, 1 << 20}, 1 << 14: {1 << 19, 1 << 24}} {
		text, err := lockKey("word", key, cost)
		if err != nil {
			t.Fatal(err)
		}
		_, line, _ := strings.Cut(string(text), "\n")
		b, err := base64.StdEncoding.DecodeString(line)
		if err != nil {
			t.Fatal(err)
		}
		if got := [2]uint64{binary.LittleEndian.Uint64(b[38:]), binary.LittleEndian.Uint64(b[46:])}; got != want {
			t.Errorf("cost %d: limits %d, want %d", cost, got, want)
		}
		opened, err := minisign.DecryptKey("word", text)
		if err != nil || !opened.Equal(key) {
			t.Errorf("cost %d: another key, or %v", cost, err)
		}
	}
	if ops, mem := hard*32, hard*1024; ops != 33554432 || mem != 1073741824 {
		t.Errorf("new keys have the limits %d and %d, want minisign's", ops, mem)
	}
}

// TestFile: a bundle in a file, made into one with a delta and a later expiry.
func TestFile(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "a"+bundle.Suffix)
	pub, err := NewKey(filepath.Join(dir, "key"), "")
	if err != nil {
		t.Fatal(err)
	}
	key, err := LoadKey(filepath.Join(dir, "key"), noPassphrase)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	old, slot := open(t, makeSlot(t, first)), open(t, makeSlot(t, second))
	b, err := Sign(slot, key, Options{Floor: 4, Expires: 99})
	if err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(ctx, name, b); err != nil {
		t.Fatal(err)
	}
	again, err := OpenFile(name)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	m, deltas, err := Kept(name)
	if err != nil || m.Floor != 4 || m.Expires != 99 || len(deltas) != 0 {
		t.Errorf("kept %+v, %d deltas, %v", m, len(deltas), err)
	}
	cache, err := blockcache.Open(filepath.Join(dir, "cache"))
	if err != nil {
		t.Fatal(err)
	}
	if b, err = Sign(again, key, Options{Floor: 5}); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time it takes the place of the first
		if err := b.AddDelta(ctx, cache, old); err != nil {
			t.Fatal(err)
		}
	}
	if err := WriteFile(ctx, name, b); err != nil {
		t.Fatal(err)
	}
	b.Close()
	m, deltas, err = Kept(name)
	if err != nil || m.Floor != 5 || len(deltas) != 1 || deltas[0].Base != old.Sum {
		t.Errorf("kept %+v, %d deltas, %v", m, len(deltas), err)
	}
	for _, d := range deltas {
		d.close()
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := bundle.Open(ctx, File{f}, bundle.Keys{pub}); err != nil {
		t.Error(err)
	}
	for what, text := range map[string]string{"nothing": "", "text": strings.Repeat("x", 5000)} {
		bad := filepath.Join(dir, what)
		os.WriteFile(bad, []byte(text), 0o644)
		if _, err := OpenFile(bad); kindOf(err) != fault.Input {
			t.Errorf("%s: %v, want kind %v", what, err, fault.Input)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".imgbuild-*")); len(left) > 0 {
		t.Errorf("%v are left behind", left)
	}
}
