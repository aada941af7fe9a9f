package cluster

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh/knownhosts"

	"golang.org/x/crypto/ssh"

	"imgbuild/builder/bundle"
	"imgbuild/init/contract/fault"
)

func answer(word string) func() (string, error) {
	return func() (string, error) { return word, nil }
}

// What is written is opened again by the passphrase or the key alone, and is not readable in the
// file; a file in clear is read if it is its owner's only.
func TestSecrets(t *testing.T) {
	word, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	for _, how := range []string{"correct horse", word, strings.ToLower(word), ""} {
		file := filepath.Join(t.TempDir(), SecretsFile)
		s, err := NewSecrets(file, how)
		if err != nil {
			t.Fatal(err)
		}
		c, problems := try(t, key+"nodes:\n"+server+worker+"  nas: {board: rpi4, role: storage}\n", token)
		if c == nil {
			t.Fatal(problems)
		}
		made, err := s.Complete(c.Nodes)
		if err != nil || len(made) != 7 { // the key, the token, three host keys, two passwords
			t.Fatalf("made %q %v, want 7 things", made, err)
		}
		if err := s.Write(); err != nil {
			t.Fatal(err)
		}
		data, _ := os.ReadFile(file)
		info, err := os.Stat(file)
		if err != nil || info.Mode().Perm() != 0o600 || bytes.Contains(data, []byte("PRIVATE")) != (how == "") {
			t.Errorf("%q: the file has mode %v, %v, and is\n%.200s", how, info.Mode(), err, data)
		}
		again, err := OpenSecrets(file, answer(how))
		if err != nil {
			t.Fatal(err)
		}
		if again.SigningKey() == "" || again.SigningKey() != s.SigningKey() || again.HostKey("nas") == "" || again.HostKey("nas") != s.HostKey("nas") || !bytes.Equal(again.Clear(), s.Clear()) {
			t.Errorf("%q: the file holds something else", how)
		}
		if _, err := bundle.ParseKey(file, again.SigningKey()); err != nil {
			t.Error(err)
		}
		if made, err := again.Complete(c.Nodes); made != nil || err != nil {
			t.Errorf("a second time made %q %v", made, err)
		}
		if how == "" {
			if err := os.Chmod(file, 0o640); err != nil {
				t.Fatal(err)
			}
			if _, err := OpenSecrets(file, nil); fault.Code(err) != int(fault.Input) || !strings.Contains(err.Error(), "chmod 600") {
				t.Errorf("readable by others: %v", err)
			}
			continue
		}
		if s, err := OpenSecrets(file, nil); err != nil || !s.Sealed() || s.SigningKey() != "" {
			t.Errorf("nobody to ask: %v", err)
		}
		other, err := NewKey()
		if err != nil {
			t.Fatal(err)
		}
		for _, wrong := range []string{"wrong", other} {
			if _, err := OpenSecrets(file, answer(wrong)); fault.Code(err) != int(fault.Input) || !strings.Contains(err.Error(), "cannot be opened") {
				t.Errorf("%q opens what %q has locked: %v", wrong, how, err)
			}
		}
		if _, err := OpenSecrets(file, answer("")); fault.Code(err) != int(fault.Usage) {
			t.Errorf("an empty passphrase: %v", err)
		}
		// The nodes get what was made, and the file is checked against them.
		c, problems, err = Check(writeCluster(t, filepath.Dir(file), key+"nodes:\n"+server+worker), again)
		if err != nil || c == nil {
			t.Fatal(err, problems)
		}
		if len(problems) != 3 || !strings.Contains(problems[2].String(), "has no such node") { // two notes on a missing gateway
			t.Errorf("nas is not in the file: %v", problems)
		}
		one := of(t, c, "one")
		if one.Shelf.SSHHostKey != s.HostKey("one") || len(one.Shelf.NodePassword) != 32 || one.K3OS.Token == "" || one.K3OS.Token != of(t, c, "two").K3OS.Token {
			t.Errorf("%+v and token %q", one.Shelf, one.K3OS.Token)
		}
	}
	if s, err := OpenSecrets(filepath.Join(t.TempDir(), SecretsFile), nil); s != nil || err != nil {
		t.Errorf("no file: %v, %v", s, err)
	}
}

func writeCluster(t *testing.T, dir, text string) string {
	t.Helper()
	file := filepath.Join(dir, File)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// Only what can be read replaces what is there.
func TestReplace(t *testing.T) {
	s, err := NewSecrets("s.yaml", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Replace([]byte("# mine\n" + token)); err != nil || string(s.Clear()) != "# mine\n"+token {
		t.Errorf("%v: %s", err, s.Clear())
	}
	for _, bad := range []string{"defaults: [", "nods: {}", "[]", "nodes: {a: {config: {k3os: {tokn: a}}}}"} {
		if err := s.Replace([]byte(bad)); fault.Code(err) != int(fault.Input) || string(s.Clear()) != "# mine\n"+token {
			t.Errorf("%s: %v: %s", bad, err, s.Clear())
		}
	}
}

// ssh and imgbuild know every node by all its names; what a user has in known_hosts stays.
func TestWriteKnownHosts(t *testing.T) {
	dir := t.TempDir()
	c, problems := try(t, key+"nodes:\n"+server+worker, token)
	if c == nil {
		t.Fatal(problems)
	}
	s, err := NewSecrets("s.yaml", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Complete(c.Nodes); err != nil {
		t.Fatal(err)
	}
	user := filepath.Join(dir, ".ssh/known_hosts")
	if err := os.MkdirAll(filepath.Dir(user), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(user, []byte("# mine, without an end"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := c.WriteKnownHosts(dir, s); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(user)
	if err != nil || !strings.HasPrefix(string(text), "# mine, without an end\n") || strings.Count(string(text), "\n") != 3 {
		t.Errorf("known_hosts is\n%s%v", text, err)
	}
	signer, err := ssh.ParsePrivateKey([]byte(s.HostKey("two")))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{user, filepath.Join(filepath.Dir(c.File), KnownHosts)} {
		check, err := knownhosts.New(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, host := range []string{"two:22", "two.local:22", "10.0.0.12:22"} {
			if err := check(host, &nowhere{}, signer.PublicKey()); err != nil {
				t.Errorf("%s: %s: %v", file, host, err)
			}
		}
		if err := check("one:22", &nowhere{}, signer.PublicKey()); err == nil {
			t.Errorf("%s: the key of two is taken for one", file)
		}
	}
}

type nowhere struct{}

func (nowhere) Network() string { return "tcp" }
func (nowhere) String() string  { return "192.0.2.1:22" }
