package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"aead.dev/minisign"

	"imgbuild/builder/cluster"
	"imgbuild/init/contract/fault"
)

// A file of nodes is checked as a whole: its problems have its name, lines and ways out.
func TestValidateCluster(t *testing.T) {
	printed := silence(t)
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	write("cluster.secrets.yaml", "defaults: {k3os: {token: a-long-random-word}}\n")
	good := write("cluster.yaml", "nodes:\n  one: {board: rpi4, role: server, address: 10.0.0.11/24}\n")
	bad := write("shelf.yaml", "nodes:\n  one: {board: rpi4, role: server, adress: 10.0.0.11/24}\n")
	for _, c := range []struct {
		words []string
		code  fault.Kind
	}{
		{[]string{"validate", good}, 0},
		{[]string{"validate", bad}, fault.Input},
		{[]string{"validate", bad, "output=json"}, fault.Input},
		{[]string{"validate", good, "board=rpi4"}, fault.Usage},
		{[]string{"schema", "cluster"}, 0},
		{[]string{"schema", "clustr"}, fault.Usage},
	} {
		if err := dispatch(context.Background(), c.words); fault.Code(err) != int(c.code) {
			t.Errorf("%v: %v, want code %d", c.words, err, c.code)
		}
	}
	for _, want := range []string{good + ": ok\n", bad + ":2:36: error: nodes.one.adress: there is no such key; did you mean address?", `"key": "nodes.one.adress"`, `"title": "cluster.yaml of ShelfOS"`} {
		if !strings.Contains(printed(), want) {
			t.Errorf("nothing printed %q in\n%s", want, printed())
		}
	}
}

// A new shelf: both files, usable as they are; a second run adds what new nodes lack and nothing
// else; the signing key is found.
func TestNewCluster(t *testing.T) {
	printed := silence(t)
	dir := t.TempDir()
	t.Chdir(dir)
	home := filepath.Join(dir, "home")
	t.Setenv("HOME", home)
	word, err := cluster.NewKey() // a passphrase would cost a second each time
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(passphraseEnv, word)
	run := func(code fault.Kind, words ...string) {
		t.Helper()
		if err := dispatch(context.Background(), words); fault.Code(err) != int(code) {
			t.Fatalf("%v: %v, want code %d", words, err, code)
		}
	}
	read := func(name string) string {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	run(fault.Usage, "new", "cluster", "role=server")
	run(fault.Usage, "new", "cluster", "lock=rot13")
	run(fault.Usage, "new", "cluster", "board=rpi9")
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Fatalf("left by what failed: %v", left)
	}
	run(0, "new", "cluster", "key=none", "board=qemu-arm64")
	first := read("cluster.secrets.yaml")
	if !strings.HasPrefix(first, "-----BEGIN AGE ENCRYPTED FILE-----") {
		t.Errorf("the secrets are not encrypted:\n%.100s", first)
	}
	run(0, "validate", "cluster.yaml")
	if !strings.Contains(printed(), "cluster.yaml: ok\n") {
		t.Errorf("the new file is not good:\n%s", printed())
	}
	if got := read("cluster.known_hosts") + read(home+"/.ssh/known_hosts"); strings.Count(got, "node1.local") != 2 || strings.Count(got, "node2.local") != 2 {
		t.Errorf("known hosts:\n%s", got)
	}
	key, err := signingKey("")
	if err != nil || key == nil {
		t.Fatalf("the signing key: %v %v", key, err)
	}
	if public := key.Public().(minisign.PublicKey).String(); !strings.Contains(read("cluster.yaml"), "keys: ["+public+"]") {
		t.Errorf("cluster.yaml does not name the key %s:\n%s", public, read("cluster.yaml"))
	}
	run(0, "new", "cluster")
	if read("cluster.secrets.yaml") != first {
		t.Error("a second run wrote the secrets again")
	}
	if err := os.WriteFile("cluster.yaml", []byte(read("cluster.yaml")+"  node3: {board: rpi4, role: worker}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	run(fault.Usage, "new", "cluster", "lock=key")
	run(fault.Usage, "new", "cluster", "board=rpi4")
	run(0, "new", "cluster")
	run(0, "secrets")
	if got := printed(); strings.Count(got, "made the ssh host key of node3") != 1 || strings.Count(got, "made the ssh host key of node1") != 1 || strings.Count(got, "ssh_host_key: ") != 3 {
		t.Errorf("printed\n%s", got)
	}
	t.Setenv("EDITOR", "echo '# edited' >>")
	t.Setenv("VISUAL", "")
	run(0, "secrets", "edit")
	t.Setenv("EDITOR", "echo 'x: [' >>")
	run(fault.Input, "secrets", "edit")
	run(0, "secrets")
	if got := printed(); !strings.HasSuffix(got, "# edited\n") {
		t.Errorf("after edit:\n%s", got)
	}
	t.Setenv(passphraseEnv, "wrong")
	run(fault.Input, "secrets")
	run(fault.Input, "validate", "cluster.yaml")
}
