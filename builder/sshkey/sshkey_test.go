package sshkey

import (
	"errors"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"imgbuild/init/contract/fault"
)

const (
	ed    = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDmVGDDjZPO6rtLSTaVLB6N1jJOmhmTcLKvN4tJdRzAa me@laptop"
	other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBtWvKSyANpFQfHCMuL5xH1PZqYhP7ZQBzvZ2cUzHqYf"
)

func put(t *testing.T, name, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// What is not a file of public keys is refused with the way out.
func TestRead(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]string{
		"": "is empty", "\n# nothing\n": "no ssh public key", "hello\n": "not an ssh public key",
		"-----BEGIN OPENSSH PRIVATE KEY-----\n": ".pub", "untrusted comment: minisign\nRWR\n": "sign=FILE",
		strings.Repeat("x", maxFile+1): "too many", ed[:40]: "not an ssh public key",
	} {
		file := put(t, filepath.Join(dir, "key"), text)
		if _, err := Read(file); fault.Code(err) != int(fault.Input) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.30q: got %v, want a fault of kind Input with %q", text, err, want)
		}
	}
	if _, err := Read(filepath.Join(dir, "absent")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want that the file does not exist", err)
	}
	keys, err := Read(put(t, filepath.Join(dir, "two"), "# mine\n"+ed+"\r\n\n"+ed+"\n"+other+"\n"))
	if err != nil || len(keys) != 2 || keys[0].Line != ed || keys[0].Comment != "me@laptop" || keys[1].Comment != "" {
		t.Errorf("got %+v, %v, want the two keys, each once", keys, err)
	}
	if got := Lines(keys); len(got) != 2 || got[1] != other {
		t.Errorf("got the lines %q", got)
	}
}

// The default is the key that ssh would use; a file without a key does not hide it.
func TestFind(t *testing.T) {
	home := filepath.Join(t.TempDir(), "o[dd]")
	if got := Find(home); got != nil {
		t.Errorf("got %v, want none where there is no .ssh", got)
	}
	if _, err := Choose("default", home); !errors.Is(err, ErrNone) || fault.Code(err) != int(fault.Input) {
		t.Errorf("key=default without a key: got %v", err)
	}
	put(t, filepath.Join(home, ".ssh/id_rsa.pub"), other+"\n")
	put(t, filepath.Join(home, ".ssh/id_ed25519.pub"), ed+"\n")
	put(t, filepath.Join(home, ".ssh/id_aaa.pub"), "damaged\n")
	put(t, filepath.Join(home, ".ssh/known_hosts.pub"), ed+"\n")
	keys := Find(home)
	if len(keys) != 2 || keys[0].Line != ed || keys[1].Line != other {
		t.Errorf("got %+v, want the ed25519 key, then the one of id_rsa.pub", keys)
	}
	for answer, want := range map[string]int{"": 0, "none": 0, "default": 1, keys[1].File: 1} {
		if got, err := Choose(answer, home); err != nil || len(got) != want {
			t.Errorf("key=%s: got %v, %v, want %d keys", answer, got, err, want)
		}
	}
}

// Under sudo it is the caller's home that counts, for root's has other keys.
func TestHome(t *testing.T) {
	own := func() (string, error) { return "/own", nil }
	lookup := func(name string) (*user.User, error) {
		if name == "gone" {
			return nil, user.UnknownUserError(name)
		}
		return &user.User{HomeDir: "/home/" + name}, nil
	}
	for _, c := range []struct {
		uid        int
		sudo, want string
	}{{1000, "", "/own"}, {1000, "ann", "/own"}, {0, "", "/own"}, {0, "root", "/own"}, {0, "ann", "/home/ann"}} {
		if got, err := home(c.uid, c.sudo, lookup, own); err != nil || got != c.want {
			t.Errorf("uid %d, SUDO_USER=%s: got %s, %v, want %s", c.uid, c.sudo, got, err, c.want)
		}
	}
	if _, err := home(0, "gone", lookup, own); fault.Code(err) != int(fault.Input) {
		t.Errorf("got %v, want a fault of kind Input", err)
	}
}

func TestShort(t *testing.T) {
	for comment, want := range map[string]string{"me@laptop": "me-laptop", "Ann's  Key!!": "ann-s-key", "../../etc": "etc",
		strings.Repeat("long ", 9): "long-long-long-long-long", "日本": "", "": ""} {
		got := Short([]Key{{Comment: comment, Fingerprint: "SHA256:x"}})
		if want == "" {
			if !strings.HasPrefix(got, "key-") || len(got) != 12 {
				t.Errorf("%q: got %q, want a part of the hash", comment, got)
			}
		} else if got != want {
			t.Errorf("%q: got %q, want %q", comment, got, want)
		}
	}
	if got := Short([]Key{{Comment: "a"}, {}, {}}); got != "a-and-2" {
		t.Errorf("got %q, want a-and-2", got)
	}
	if got := Short(nil); got != "" {
		t.Errorf("got %q, want nothing", got)
	}
}
