package token

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"

	"imgbuild/builder/remote"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/k3sstep"
	"imgbuild/qemu/fixtures/sshd"
)

// shelf is as much of a cluster as the command talks to: an agent whose token is not the server's
// does not become ready.
type shelf struct {
	mu     sync.Mutex
	token  string // of the server
	order  []string
	broken string // a node whose k3s does not come back
}

func (s *shelf) node(t *testing.T, state k3sstep.TokenState, authorized string) (host string) {
	t.Helper()
	server := sshd.Start(t, "exec", func(ch ssh.Channel, command string) int {
		s.mu.Lock()
		defer s.mu.Unlock()
		word, ok := strings.CutPrefix(command, "sudo -n shelf token ")
		switch {
		case !ok:
			fmt.Fprintln(ch.Stderr(), "what?")
			return 2
		case word == "output=json":
			json.NewEncoder(ch).Encode(state)
			return 0
		}
		text, _ := io.ReadAll(ch)
		token := strings.TrimSpace(string(text))
		s.order = append(s.order, state.Name+" "+word)
		if word == "rotate" {
			s.token = token
		}
		if token != s.token || s.broken == state.Name {
			fmt.Fprintln(ch.Stderr(), "shelf: k3s was not ready with the new token")
			return int(fault.Unhealthy)
		}
		state.Rotated = true
		return 0
	})
	server.Allow(authorized)
	return server.Address
}

func TestRotate(t *testing.T) {
	_, line := sshd.Home(t, "")
	s := &shelf{token: "old"}
	members := []string{"a", "b", "c", "d"}
	hosts := []string{
		s.node(t, k3sstep.TokenState{Name: "a", Role: "worker", Ready: true}, line),
		s.node(t, k3sstep.TokenState{Name: "b", Role: "server", Ready: true, Members: members}, line),
		s.node(t, k3sstep.TokenState{Name: "c", Role: "worker", Ready: true}, line),
		s.node(t, k3sstep.TokenState{Name: "d", Role: "server", Ready: true, Members: members}, line),
	}
	var out bytes.Buffer
	o := Options{Hosts: hosts, Token: New(), Login: remote.Options{Key: "accept-new"}, Out: &out}
	s.broken = "a"
	err := Run(t.Context(), o)
	if fault.Code(err) != int(fault.Unhealthy) || !strings.Contains(err.Error(), "with the old one: "+hosts[2]) {
		t.Errorf("a broken agent: got %v", err)
	}
	if want := []string{"b rotate", "d set", "a set"}; !slices.Equal(s.order, want) {
		t.Errorf("got %q, want %q", s.order, want)
	}
	s.broken, s.order = "", nil
	if err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if want := []string{"b rotate", "d set", "a set", "c set"}; !slices.Equal(s.order, want) {
		t.Errorf("got %q, want %q", s.order, want)
	}
	if strings.Contains(out.String(), o.Token) {
		t.Error("the token is shown")
	}
}

func TestOrder(t *testing.T) {
	server := func(name string, members ...string) node {
		return node{k3sstep.TokenState{Name: name, Role: "server", Ready: true, Members: members}, name, name}
	}
	agent := func(name string) node {
		return node{k3sstep.TokenState{Name: name, Role: "worker", Ready: true}, name, name}
	}
	down, refused, twice, renamed, waiting := agent("w"), agent("w"), agent("w"), agent("s"), agent("w")
	down.Ready, refused.Refused, twice.id, renamed.host = false, "the token is given in k3os.k3s_args", "s", "x"
	waiting.Ready, waiting.Rotated = false, true
	for _, c := range []struct {
		name    string
		nodes   []node
		missing bool
		code    int
	}{
		{"all", []node{agent("w"), server("s", "s", "w")}, false, 0},
		{"no server", []node{agent("w")}, false, int(fault.Usage)},
		{"none", nil, false, int(fault.Usage)},
		{"one is not named", []node{server("s", "s", "w")}, false, int(fault.Input)},
		{"one stays behind", []node{server("s", "s", "w")}, true, 0},
		{"of another cluster", []node{server("s", "s"), agent("w")}, true, int(fault.Input)},
		{"one is down", []node{server("s", "s", "w"), down}, false, int(fault.Unhealthy)},
		{"one waits for the token of the run before", []node{server("s", "s", "w"), waiting}, false, 0},
		{"one cannot", []node{server("s", "s", "w"), refused}, false, int(fault.Input)},
		{"one twice", []node{server("s", "s", "w"), twice}, false, int(fault.Usage)},
		{"two of one name", []node{server("s", "s"), renamed}, false, int(fault.Usage)},
	} {
		order, err := Order(c.nodes, c.missing)
		if fault.Code(err) != c.code || err == nil && order[0].Role != "server" {
			t.Errorf("%s: got %v, %v, want code %d", c.name, order, err, c.code)
		}
	}
}
