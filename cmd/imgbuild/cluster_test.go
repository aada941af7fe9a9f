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

// Names of nodes are taken by the verbs that build, write and log in; what is wrong is found before
// anything is done.
func TestNodeNames(t *testing.T) {
	silence(t)
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("HOME", dir)
	run := func(code fault.Kind, want, words string) {
		t.Helper()
		err := dispatch(context.Background(), strings.Fields(words))
		if fault.Code(err) != int(code) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want code %d and %q", words, err, code, want)
		}
	}
	run(fault.Input, "no cluster.yaml here", "build all")
	run(fault.Input, "no cluster.yaml here", "apply all")
	run(fault.Input, "no cluster.yaml here", "upgrade all")
	write := func(name, text string) {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("cluster.yaml", "nodes:\n  one: {board: rpi4, role: server, address: 127.0.0.1/8}\n")
	run(fault.Input, "cannot be the address of a node", "build all")
	write("cluster.yaml", "nodes:\n  one: {board: rpi4, role: server, address: 192.0.2.1/24}\n  two: {board: rpi4, role: worker}\n")
	run(0, "", "new cluster lock=none")
	run(fault.Usage, "did you mean one?", "build onn")
	run(fault.Usage, "board=", "build one board=rpi4")
	run(fault.Usage, "did you mean one?", "flash onn")
	run(fault.Usage, "a card is for one node", "flash all")
	run(fault.Usage, "config=", "flash one config=a.yaml")
	run(fault.Input, "imgbuild build two", "flash two card.img")
	run(fault.Usage, "did you mean one?", "apply onn")
	run(fault.Input, "no private key to log in on 192.0.2.1", "apply one")
	run(fault.Input, "no private key to log in on two.local", "node two status")
	run(fault.Input, "no private key to log in on 192.0.2.1", "kubeconfig one")
	if got, _ := os.ReadDir("out"); len(got) > 0 {
		t.Errorf("something was built: %v", got)
	}
}

// An image for a node of the file is not one with another node's configuration or data, whichever
// is newer.
func TestFlashNodeTakesPlainImage(t *testing.T) {
	silence(t)
	t.Chdir(t.TempDir())
	if err := os.Mkdir("out", 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"cluster.yaml", "cluster.secrets.yaml", "out/rpi4-worker-20260101-0badc0de.img", "out/rpi4-worker-20260101-0badc0de-firstboot.img", "out/rpi4-worker-me-20260102-0badc0de.img", "out/rpi4-worker-20260102-0badc0de.img.zst"} {
		text := map[string]string{"cluster.yaml": "nodes:\n  one: {board: rpi4, role: worker, config: {k3os: {server_url: 'https://a:6443'}}}\n", "cluster.secrets.yaml": "defaults: {k3os: {token: a-long-random-word}}\n"}[name]
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a, err := program().Parse([]string{"flash", "one"})
	if err != nil {
		t.Fatal(err)
	}
	name, text, err := flashWhat(a)
	if err != nil || !strings.HasPrefix(name, "out/rpi4-worker-20260101-0badc0de") || !strings.Contains(string(text), "hostname: one\n") {
		t.Errorf("got %s %v\n%s", name, err, text)
	}
}
