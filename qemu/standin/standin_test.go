package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// start runs a server in a directory of its own, with a notify socket, until the test ends.
func start(t *testing.T, root string, config map[string][]string) (*node, *net.UnixConn) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "n")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("NOTIFY_SOCKET", socket)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	n := &node{root: root, role: "server", config: config, api: addr, kubelet: "127.0.0.1:0", pause: 10 * time.Millisecond}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err == nil || err.Error() != "controllers exited" {
			t.Errorf("it ended with %v", err)
		}
		c.Close()
	})
	c.SetReadDeadline(time.Now().Add(time.Minute))
	buf := make([]byte, 100)
	if k, err := c.Read(buf); err != nil || string(buf[:k]) != "READY=1" {
		t.Fatalf("notified %q, %v", buf[:k], err)
	}
	return n, c
}

func waitReady(t *testing.T, root string) {
	t.Helper()
	var err error
	for range 6000 {
		var out bytes.Buffer
		if err = kubectl(&out, root, []string{"get", "--raw", "/readyz"}); err == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal(err)
}

func TestServerAndAgents(t *testing.T) {
	root := t.TempDir()
	n, _ := start(t, root, map[string][]string{"token": {"right"}, "node-name": {"one"}})
	waitReady(t, root)

	// Nobody reads the API without a certificate.
	resp, err := (&http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}).Get("https://" + n.api + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	if resp.Body.Close(); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("anonymous readyz: %s", resp.Status)
	}
	for name, want := range map[string]os.FileMode{"etc/rancher/k3s/k3s.yaml": 0o600, "var/lib/rancher/k3s/server/token": 0o600, "etc/rancher/node/password": 0o600} {
		if st, err := os.Stat(filepath.Join(root, name)); err != nil || st.Mode() != want {
			t.Errorf("%s: %v %v", name, st, err)
		}
	}

	full, err := os.ReadFile(filepath.Join(root, "var/lib/rancher/k3s/server/token"))
	if err != nil {
		t.Fatal(err)
	}
	agent := func(name string) *node {
		return &node{root: t.TempDir(), config: map[string][]string{"server": {"https://" + n.api}, "node-name": {name}}}
	}
	two := agent("two")
	for _, c := range []struct{ token, password, want string }{
		{"wrong", "a", "401"},
		{"", "a", "401"},
		{"K10" + strings.Repeat("0", 64) + "::server:right", "a", "CA hash"},
		{strings.TrimSpace(string(full)), "a", ""},
		{"right", "a", ""},
		{"right", "b", "Node password rejected"},
	} {
		err := two.join(t.Context(), c.token, c.password)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("token %q password %q: %v", c.token, c.password, err)
		}
	}
	if err := agent("../../x").join(t.Context(), "right", "a"); err == nil {
		t.Error("a name that is a path may join")
	}
	var out bytes.Buffer
	if err := kubectl(&out, root, []string{"get", "nodes"}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Fields(out.String()); strings.Join(got, " ") != "NAME STATUS one Ready two Ready" {
		t.Errorf("nodes: %q", got)
	}
}

// TestSecondStart: roots, token and nodes are those of the first.
func TestSecondStart(t *testing.T) {
	root := t.TempDir()
	read := func() string {
		data, err := os.ReadFile(filepath.Join(root, "var/lib/rancher/k3s/server/token"))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	var first string
	t.Run("first", func(t *testing.T) {
		start(t, root, map[string][]string{"node-name": {"one"}})
		first = read()
	})
	t.Run("second", func(t *testing.T) {
		start(t, root, map[string][]string{"node-name": {"one"}})
		if second := read(); first != second || !strings.HasPrefix(first, "K10") {
			t.Errorf("the token was %q and is %q", first, second)
		}
	})
}

// TestAgentWaits: without a server, or with a wrong token, an agent keeps asking and is never ready.
func TestAgentWaits(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "n")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	t.Setenv("NOTIFY_SOCKET", socket)
	n := &node{root: t.TempDir(), role: "agent", config: map[string][]string{"server": {"https://127.0.0.1:1"}, "token": {"x"}, "node-name": {"two"}}, kubelet: "127.0.0.1:0", pause: time.Millisecond}
	ctx, stop := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer stop()
	if err := n.serve(ctx); err == nil || err.Error() != "controllers exited" {
		t.Errorf("it ended with %v", err)
	}
	c.SetReadDeadline(time.Now())
	if k, err := c.Read(make([]byte, 10)); err == nil {
		t.Errorf("it says that it is ready: %d", k)
	}
}
