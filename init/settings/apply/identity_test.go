package apply

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"imgbuild/init/contract/config"
)

// newHostKey is a private key in PEM, and the line of its public half.
func newHostKey(t *testing.T) (private, public string) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(block)), string(ssh.MarshalAuthorizedKey(signer.PublicKey()))
}

// A new node is known by the key and the password of its configuration; one that has its own keeps
// them, and a key that cannot be used costs nothing but itself.
func TestIdentity(t *testing.T) {
	m := Machine{Root: t.TempDir()}
	read := func(path string) string {
		text, err := os.ReadFile(filepath.Join(m.Root, path))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	const at = KeyDir + "/ssh_host_ed25519_key"
	private, public := newHostKey(t)
	for _, text := range []string{strings.ReplaceAll(private, "\n", "\r\n"), "rubbish", func() string { other, _ := newHostKey(t); return other }()} {
		err := m.Identity(config.Shelf{SSHHostKey: text, NodePassword: "word-" + text[:3]})
		if (err != nil) != (text == "rubbish") {
			t.Errorf("%.10s: %v", text, err)
		}
		if err := m.SSHD(); err != nil {
			t.Fatal(err)
		}
		if got := read(at); got != private {
			t.Errorf("the key is\n%swant\n%s", got, private)
		}
		if got := read(at + ".pub"); got != public {
			t.Errorf("the public key is %s, want %s", got, public)
		}
		if got := read(nodePassword); got != "word----\n" {
			t.Errorf("the password is %q", got)
		}
	}
	for path, want := range map[string]os.FileMode{at: 0o600, nodePassword: 0o600} {
		if info, err := os.Stat(filepath.Join(m.Root, path)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v %v, want %v", path, info.Mode(), err, want)
		}
	}
	if got := read("/etc/ssh/sshd_config"); !strings.Contains(got, "HostKey "+at+"\n") {
		t.Errorf("sshd does not use it:\n%s", got)
	}
}
