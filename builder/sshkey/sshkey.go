// Package sshkey finds and reads the ssh public keys that an image lets log in.
package sshkey

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/userfile"
)

// Key is one public key.
type Key struct {
	Line        string // as in authorized_keys, without a line end
	Comment     string // may be empty
	Fingerprint string // SHA256:..., as ssh-keygen -l prints it
	Type        string // ssh-ed25519 and others
	File        string // that it was read from
}

// maxFile bounds a file of keys, in bytes.
const maxFile = 64 << 10

// Read reads the keys of a file: a .pub file, or one like authorized_keys. Without a key in it the
// error is of kind Input.
func Read(file string) ([]Key, error) {
	data, err := userfile.Read("key", file)
	if err != nil {
		return nil, err
	}
	if len(data) == 0 {
		return nil, fault.New(fault.Input, "give the .pub file of a key", "key=%s is empty", file)
	}
	if len(data) > maxFile {
		return nil, fault.New(fault.Input, "give the .pub file of a key", "key=%s has %d bytes, too many for ssh public keys", file, len(data))
	}
	keys, err := parse(data)
	if err != nil {
		return nil, fault.Wrap(err, fault.Input, "", "key=%s", file)
	}
	for i := range keys {
		keys[i].File = file
	}
	return keys, nil
}

// parse reads the lines of a file of keys, each key once.
func parse(data []byte) (keys []Key, err error) {
	if bytes.Contains(data, []byte("PRIVATE KEY")) {
		return nil, fault.New(fault.Input, "give the file that ends in .pub", "this is a private ssh key")
	}
	if bytes.HasPrefix(data, []byte("untrusted comment:")) {
		return nil, fault.New(fault.Input, "give it as sign=FILE; key= takes an ssh public key", "this key signs upgrades")
	}
	for _, line := range strings.Split(string(data), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		pub, comment, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
		if err != nil {
			return nil, fault.New(fault.Input, "give the .pub file of a key, whole", "this is not an ssh public key")
		}
		k := Key{Line: line, Comment: comment, Fingerprint: ssh.FingerprintSHA256(pub), Type: pub.Type()}
		if !slices.ContainsFunc(keys, func(o Key) bool { return o.Fingerprint == k.Fingerprint }) {
			keys = append(keys, k)
		}
	}
	if keys == nil {
		return nil, fault.New(fault.Input, "give the .pub file of a key", "it has no ssh public key")
	}
	return keys, nil
}

// preference orders the types of keys: the first one found is the default.
var preference = []string{"id_ed25519", "id_ed25519_sk", "id_ecdsa", "id_ecdsa_sk", "id_rsa"}

// Find returns the keys of home/.ssh/id_*.pub, the one that ssh would rather use first. Files that
// are no keys, and DSA keys, which sshd does not accept, are passed over. Keys of an agent are not
// asked for: it may hold other people's.
func Find(home string) (keys []Key) {
	files, err := filepath.Glob(filepath.Join(escaped(home), ".ssh", "id_*.pub"))
	if err != nil {
		return nil
	}
	rank := func(file string) int {
		i := slices.Index(preference, strings.TrimSuffix(filepath.Base(file), ".pub"))
		if i < 0 {
			return len(preference)
		}
		return i
	}
	slices.SortFunc(files, func(a, b string) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b)) })
	for _, f := range files {
		found, err := Read(f)
		if err != nil {
			continue
		}
		for _, k := range found {
			if k.Type != "ssh-dss" && !slices.ContainsFunc(keys, func(o Key) bool { return o.Fingerprint == k.Fingerprint }) {
				keys = append(keys, k)
			}
		}
	}
	return keys
}

// escaped makes a pattern for filepath.Glob that matches dir alone.
func escaped(dir string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(dir)
}

// Home is the home directory of the person at the keyboard: under sudo that of the user who called
// it, not root's.
func Home() (string, error) {
	return home(os.Geteuid(), os.Getenv("SUDO_USER"), user.Lookup, os.UserHomeDir)
}

func home(uid int, sudo string, lookup func(string) (*user.User, error), own func() (string, error)) (string, error) {
	if uid == 0 && sudo != "" && sudo != "root" {
		u, err := lookup(sudo)
		if err != nil {
			return "", fault.New(fault.Input, "give key=FILE", "no home directory of %s, who called sudo: %w", sudo, err)
		}
		return u.HomeDir, nil
	}
	dir, err := own()
	return dir, fault.Wrap(err, fault.Input, "give key=FILE, or set HOME", "no home directory to look for ssh keys in")
}

// Short is a name of the keys for a file name: the comment of the first one, else a part of its
// hash, and how many there are more.
func Short(keys []Key) string {
	if len(keys) == 0 {
		return ""
	}
	name := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
			return r
		case 'A' <= r && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, keys[0].Comment)
	for strings.Contains(name, "--") {
		name = strings.ReplaceAll(name, "--", "-")
	}
	name = strings.Trim(name, "-")
	if name = strings.Trim(name[:min(len(name), 24)], "-"); name == "" {
		sum := sha256.Sum256([]byte(keys[0].Fingerprint))
		name = "key-" + hex.EncodeToString(sum[:4])
	}
	if more := len(keys) - 1; more > 0 {
		name += "-and-" + string(rune('0'+min(more, 9)))
	}
	return name
}

// Lines are the keys as authorized_keys has them.
func Lines(keys []Key) (lines []string) {
	for _, k := range keys {
		lines = append(lines, k.Line)
	}
	return lines
}

// ErrNone means that key=default found no key.
var ErrNone = errors.New("no key")

// Choose carries out key=: FILE, default (the first key of home), none. An empty answer gives no
// key and no error.
func Choose(answer, home string) ([]Key, error) {
	switch answer {
	case "", "none":
		return nil, nil
	case "default":
		found := Find(home)
		if len(found) == 0 {
			return nil, fault.New(fault.Input, "make one with ssh-keygen -t ed25519, or give key=FILE", "key=default: %s has no ssh public key: %w", filepath.Join(home, ".ssh"), ErrNone)
		}
		return found[:1], nil
	}
	return Read(answer)
}
