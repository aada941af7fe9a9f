package keys

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"aead.dev/minisign"

	"imgbuild/init/contract/bundle"
	"imgbuild/init/contract/fault"
)

func pair(t *testing.T) (minisign.PublicKey, minisign.PrivateKey) {
	t.Helper()
	pub, key, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return pub, key
}

func TestAdd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "upgrade.keys")
	a, _ := pair(t)
	b, _ := pair(t)
	if keys, err := Load(path, []string{b.String(), "nonsense"}); err != nil || len(keys) != 1 || !keys[0].Equal(b) {
		t.Errorf("got %v, %v", keys, err)
	}
	if fresh, err := Add(path, bundle.Keys{a}); err != nil || len(fresh) != 1 {
		t.Errorf("got %v, %v", fresh, err)
	}
	// Lines that people have written there stay, a missing line end too.
	text, _ := os.ReadFile(path)
	if err := os.WriteFile(path, append([]byte("# of the office\n"), strings.TrimSpace(string(text))...), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{1, 0} {
		if fresh, err := Add(path, bundle.Keys{a, b, b}); err != nil || len(fresh) != want {
			t.Errorf("%d: got %v, %v", i, fresh, err)
		}
	}
	text, _ = os.ReadFile(path)
	if want := "# of the office\n" + a.String() + "\n" + b.String() + "\n"; string(text) != want {
		t.Errorf("got %q, want %q", text, want)
	}
	if err := os.WriteFile(path, []byte("RWx\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Add(path, bundle.Keys{a}); fault.Code(err) != int(fault.Input) {
		t.Errorf("damaged: got %v", err)
	}
	if got, _ := os.ReadFile(path); string(got) != "RWx\n" {
		t.Errorf("a damaged file was written: %q", got)
	}
}

// The old key signs the new one.
func TestSigned(t *testing.T) {
	a, key := pair(t)
	b, other := pair(t)
	text := []byte("untrusted comment: minisign public key\n" + b.String() + "\n")
	by, more, err := Signed(bundle.Keys{a}, text, bundle.Sign(key, text, "new key"))
	if err != nil || !by.Equal(a) || len(more) != 1 || !more[0].Equal(b) {
		t.Errorf("got %v %v, %v", by, more, err)
	}
	for name, signature := range map[string][]byte{"of itself": bundle.Sign(other, text, ""), "of another text": bundle.Sign(key, append(text, 10), ""), "none": nil} {
		if _, _, err := Signed(bundle.Keys{a}, text, signature); fault.Code(err) != int(fault.Verify) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
