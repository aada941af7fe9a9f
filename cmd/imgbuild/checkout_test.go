package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"imgbuild/builder/cluster"
	"imgbuild/init/contract/fault"
	"imgbuild/qemu/fixtures/sshd"
)

// The Git checkout, what opens the secrets and a key to log in with are all that a new laptop
// needs: nodes of the file are known without a question, and each gets its own configuration.
func TestApplyFromCheckout(t *testing.T) {
	printed := silence(t)
	old, line := sshd.Home(t, "")
	dir := t.TempDir()
	t.Chdir(dir)
	word, err := cluster.NewKey() // a passphrase would cost a second each time
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(passphraseEnv, word)
	text := "defaults: {ssh_authorized_keys: ['" + line + "']}\nnodes:\n"
	for i, role := range []string{"server", "worker", "storage"} {
		text += fmt.Sprintf("  node%d: {board: rpi4, role: %s, address: 192.0.2.%d/24}\n", i+1, role, i+1)
	}
	if err := os.WriteFile("cluster.yaml", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := dispatch(t.Context(), []string{"new", "cluster"}); err != nil {
		t.Fatal(err)
	}

	identity := filepath.Join(t.TempDir(), "key") // from a stick
	if err := os.Rename(filepath.Join(old, ".ssh/id_ed25519"), identity); err != nil {
		t.Fatal(err)
	}
	checkout, home := filepath.Join(t.TempDir(), "checkout"), t.TempDir()
	if err := os.CopyFS(checkout, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(old); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", home)
	t.Chdir(checkout)

	secrets, err := cluster.OpenSecrets(cluster.SecretsFile, func() (string, error) { return word, nil })
	if err != nil {
		t.Fatal(err)
	}
	at := map[string]*node{}
	var nodes []*node
	for i := range 3 {
		n := &node{text: "old"}
		n.Server = sshd.Start(t, "exec", n.answer)
		n.Allow(line)
		host, err := ssh.ParsePrivateKey([]byte(secrets.HostKey(fmt.Sprint("node", i+1))))
		if err != nil {
			t.Fatal(err)
		}
		n.SetHost(host)
		at[fmt.Sprintf("192.0.2.%d:22", i+1)] = n
		nodes = append(nodes, n)
	}
	dialNode = func(ctx context.Context, address string) (net.Conn, error) {
		n := at[address]
		if n == nil {
			return nil, fmt.Errorf("%s is no node", address)
		}
		return (&net.Dialer{}).DialContext(ctx, "tcp", n.Address)
	}
	t.Cleanup(func() { dialNode = nil })

	apply := []string{"apply", "all", "identity=" + identity}
	t.Setenv(passphraseEnv, "wrong")
	failed(t, dispatch(t.Context(), apply), fault.Input, "cluster.secrets.yaml cannot be opened")
	t.Setenv(passphraseEnv, word)
	nodes[2].refuse = "check"
	failed(t, dispatch(t.Context(), apply), fault.Input, "no node was changed")
	nodes[2].refuse = ""
	for i, n := range nodes {
		if got := n.has(); got != "old" {
			t.Errorf("node%d was changed: %s", i+1, got)
		}
	}
	if err := dispatch(t.Context(), apply); err != nil {
		t.Fatal(err)
	}
	_, token, _ := strings.Cut(nodes[0].has(), "\n    token: ")
	token, _, _ = strings.Cut(token, "\n")
	if len(token) < 20 {
		t.Fatalf("the server has no token:\n%s", nodes[0].has())
	}
	for i, want := range [][]string{{"hostname: node1\n", token, "--tls-san=node1"}, {"hostname: node2\n", token, "server_url: https://192.0.2.1:6443\n"}, {"hostname: node3\n", "192.0.2.3/24"}} {
		for _, w := range want {
			if !strings.Contains(nodes[i].has(), w) {
				t.Errorf("node%d has no %q:\n%s", i+1, w, nodes[i].has())
			}
		}
	}
	if strings.Contains(nodes[2].has(), token) {
		t.Error("the storage node has the token of k3s")
	}
	if got := printed(); strings.Count(got, ": applied, and confirmed by a new login\n") != 3 {
		t.Errorf("printed\n%s", got)
	}
	if known, err := os.ReadFile(filepath.Join(home, ".ssh/known_hosts")); err != nil || strings.Count(string(known), "\n") != 3 {
		t.Errorf("ssh does not know the nodes: %v\n%s", err, known)
	}
	if err := dispatch(t.Context(), apply); err != nil {
		t.Fatal(err)
	}
	if got := printed(); strings.Count(got, "  nothing changes\n") != 3 {
		t.Errorf("a second time printed\n%s", got)
	}
	orders := func() (n int) {
		for _, node := range nodes {
			node.mu.Lock()
			n += len(slices.DeleteFunc(slices.Clone(node.asked), func(c string) bool { return !strings.Contains(c, "config apply") }))
			node.mu.Unlock()
		}
		return n
	}
	if n := orders(); n != 3 {
		t.Errorf("%d configurations were applied, want 3", n)
	}
	nodes[1].NewHost() // another machine at node2's address
	nodes[0].text = "old"
	failed(t, dispatch(t.Context(), apply), fault.Verify, "192.0.2.2 shows the key", "no node was changed")
	if n := orders(); n != 3 {
		t.Errorf("a stranger was no reason to stop: %d configurations were applied", n)
	}
}
