package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"imgbuild/builder/lookup"
	"imgbuild/init/contract/fault"
	"imgbuild/qemu/fixtures/sshd"
)

// newNode is a node that takes the key of a laptop, whose home directory comes with it. The key has
// a passphrase if there is one. The node's commands: "cat", "exit N" with a text on standard error,
// "die".
func newNode(t *testing.T, passphrase string) (s *sshd.Server, home string) {
	t.Helper()
	home, line := sshd.Home(t, passphrase)
	s = sshd.Start(t, "exec", func(ch ssh.Channel, command string) (status int) {
		switch command {
		case "cat":
			io.Copy(ch, ch)
		case "die":
			return -1
		default:
			fmt.Sscanf(command, "exit %d", &status)
			fmt.Fprintln(ch.Stderr(), "what went wrong: no such luck\nhow to fix it:   try again")
		}
		return status
	})
	s.Allow(line)
	return s, home
}

func is(t *testing.T, err error, kind fault.Kind, text string) {
	t.Helper()
	if err == nil || fault.Code(err) != int(kind) || !strings.Contains(err.Error(), text) {
		t.Errorf("want kind %d with %q, got %d: %v", kind, text, fault.Code(err), err)
	}
}

func TestHostKey(t *testing.T) {
	s, dir := newNode(t, "")
	dial := func(o Options) error {
		n, err := Dial(t.Context(), s.Address, o)
		if err == nil {
			n.Close()
		}
		return err
	}
	is(t, dial(Options{}), fault.Verify, "not among the known hosts")
	is(t, dial(Options{Ask: func(string) bool { return false }}), fault.Verify, "not among the known hosts")
	is(t, dial(Options{Key: "SHA256:wrong"}), fault.Verify, "not the one asked for")
	is(t, dial(Options{Key: "never"}), fault.Usage, "key=never")
	if err := dial(Options{Key: ssh.FingerprintSHA256(s.HostKey)}); err != nil {
		t.Error(err)
	}
	if err := dial(Options{HostKey: s.HostKey}); err != nil {
		t.Error(err)
	}
	other := sshd.Start(t, "exec", nil)
	is(t, dial(Options{HostKey: other.HostKey, Key: "accept-new"}), fault.Verify, "not the same machine")
	known := filepath.Join(dir, ".ssh/known_hosts")
	if _, err := os.Stat(known); err == nil {
		t.Error("an answer of no is noted")
	}
	if err := os.WriteFile(known, []byte("# a line without an end"), 0o600); err != nil {
		t.Fatal(err)
	}
	asked := ""
	if err := dial(Options{Ask: func(q string) bool { asked = q; return true }}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(asked, ssh.FingerprintSHA256(s.HostKey)) {
		t.Errorf("the question is %q", asked)
	}
	if err := dial(Options{}); err != nil {
		t.Errorf("a noted host is asked about again: %v", err)
	}
	s.NewHost()
	for _, o := range []Options{{}, {Key: "accept-new"}, {Ask: func(string) bool { return true }}} {
		is(t, dial(o), fault.Verify, "another machine")
	}
	if err := os.Remove(known); err != nil {
		t.Fatal(err)
	}
	if err := dial(Options{Key: "accept-new"}); err != nil {
		t.Error(err)
	}
	if err := dial(Options{}); err != nil {
		t.Errorf("a noted host is asked about again: %v", err)
	}
}

func TestKeys(t *testing.T) {
	s, dir := newNode(t, "open sesame")
	asked := 0
	answers := []string{"wrong", "open sesame"}
	o := Options{Key: "accept-new", Secret: func(string) []byte { asked++; return []byte(answers[asked-1]) }}
	n, err := Dial(t.Context(), s.Address, o)
	if err != nil {
		t.Fatal(err)
	}
	n.Close()
	if asked != 2 {
		t.Errorf("asked %d times, want 2", asked)
	}
	_, err = Dial(t.Context(), s.Address, Options{})
	is(t, err, fault.Input, "ssh-add")
	// A key that the node would not take needs no passphrase.
	s.Allow(s.Host)
	_, err = Dial(t.Context(), s.Address, Options{Secret: func(string) []byte { t.Error("asked"); return nil }})
	is(t, err, fault.Input, "id_ed25519")
	_, err = Dial(t.Context(), s.Address, Options{Identity: filepath.Join(dir, "none")})
	is(t, err, fault.Input, "none")
	if err := os.WriteFile(filepath.Join(dir, "rubbish"), []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Dial(t.Context(), s.Address, Options{Identity: filepath.Join(dir, "rubbish")})
	is(t, err, fault.Input, "ssh-keygen")
	if err := os.Remove(filepath.Join(dir, ".ssh/id_ed25519")); err != nil {
		t.Fatal(err)
	}
	_, err = Dial(t.Context(), s.Address, Options{})
	is(t, err, fault.Input, "no private key")
}

func TestCommands(t *testing.T) {
	s, _ := newNode(t, "")
	n, err := Dial(t.Context(), "shelf@"+s.Address, Options{Key: "accept-new"})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if n.User != "shelf" || !bytes.Equal(n.HostKey.Marshal(), s.HostKey.Marshal()) {
		t.Errorf("logged in as %s", n.User)
	}
	text := strings.Repeat("abc\n", 100000)
	out, err := n.Output(t.Context(), "cat", strings.NewReader(text))
	if err != nil || string(out) != text {
		t.Errorf("%d bytes came back: %v: got %q, want %q", len(out), err, string(out), text)
	}
	_, err = n.Output(t.Context(), "exit 3", nil)
	is(t, err, fault.Input, "no such luck")
	if _, fix := fault.Parts(err); fix != "try again" {
		t.Errorf("got the way out %q of %v, want the node's", fix, err)
	}
	_, err = n.Output(t.Context(), "exit 99", nil)
	is(t, err, fault.Internal, "no such luck")
	if code, err := n.Run(t.Context(), "exit 7", nil, nil, nil); code != 7 || err != nil {
		t.Errorf("status %d, %v, want 7", code, err)
	}
	_, err = n.Run(t.Context(), "die", nil, nil, nil)
	is(t, err, fault.Network, "broke")
}

func TestUnreachable(t *testing.T) {
	sshd.Home(t, "")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	_, err = Dial(t.Context(), l.Addr().String(), Options{})
	is(t, err, fault.Network, "cannot be reached")
}

// TestFound: a node is found by mDNS, but its key is known by its name, and one that is not known
// is asked about as always.
func TestFound(t *testing.T) {
	s, _ := newNode(t, "")
	_, port, err := net.SplitHostPort(s.Address)
	if err != nil {
		t.Fatal(err)
	}
	var asked []string
	o := Options{Find: func(_ context.Context, host string) (lookup.Found, error) {
		asked = append(asked, host)
		return lookup.Found{Addresses: []string{"127.0.0.2", "127.0.0.1"}, MDNS: true}, nil
	}}
	dial := func(o Options) error {
		n, err := Dial(t.Context(), "node1.local:"+port, o)
		if err == nil {
			n.Close()
		}
		return err
	}
	is(t, dial(o), fault.Verify, "not among the known hosts")
	o.Ask = func(string) bool { return false }
	is(t, dial(o), fault.Verify, "not among the known hosts")
	o.Ask = func(string) bool { return true }
	said := ""
	o.Say = func(format string, a ...any) { said += fmt.Sprintf(format, a...) + "\n" }
	if err := dial(o); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(said, "node1.local:"+port+" is at 127.0.0.1") {
		t.Errorf("reported %q, want the address that was found", said)
	}
	o.Ask = nil
	if err := dial(o); err != nil {
		t.Errorf("a noted host is asked about again: %v", err)
	}
	s.NewHost()
	o.Ask = func(string) bool { return true }
	is(t, dial(o), fault.Verify, "another machine")
	if got := strings.Join(asked, " "); got != strings.TrimSpace(strings.Repeat("node1.local ", len(asked))) {
		t.Errorf("looked for %q, want node1.local", got)
	}
	o.Find = func(context.Context, string) (lookup.Found, error) {
		return lookup.Found{}, errors.New("nobody answers")
	}
	is(t, dial(o), fault.Network, "nobody answers")
}

func TestTarget(t *testing.T) {
	for _, c := range []struct{ in, address, user string }{
		{"node1", "node1:22", "rancher"}, {"node1:2222", "node1:2222", "rancher"}, {"me@10.0.0.1", "10.0.0.1:22", "me"},
		{"fe80::1%eth0", "[fe80::1%eth0]:22", "rancher"}, {"[::1]:2222", "[::1]:2222", "rancher"}, {"[::1]", "[::1]:22", "rancher"},
		{"", "", ""}, {"a b", "", ""}, {"node1:x", "", ""}, {"node1:", "", ""}, {"-oProxyCommand=x", "", ""}, {"node1:0", "", ""},
	} {
		n, err := target(c.in, "")
		if c.address == "" {
			is(t, err, fault.Usage, "is not the name of a host")
			continue
		}
		if err != nil || n.Address != c.address || n.User != c.user {
			t.Errorf("%s: %+v, %v", c.in, n, err)
		}
	}
}

// TestProbe: a connection asks for a sign of life, and no longer when it is closed.
func TestProbe(t *testing.T) {
	s, _ := newNode(t, "")
	n, err := Dial(t.Context(), s.Address, Options{Key: "accept-new"})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { n.probe(time.Millisecond); close(ended) }()
	for end := time.Now().Add(time.Minute); s.Asked() < 3; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d requests in a minute", s.Asked())
		}
	}
	n.Close()
	<-ended
}
