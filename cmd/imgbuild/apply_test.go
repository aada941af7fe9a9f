package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"

	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/qemu/fixtures/sshd"
)

// node is as much of a node as apply talks to: an sshd, and shelf's words about configurations.
type node struct {
	*sshd.Server
	mu      sync.Mutex
	text    string                   // the configuration that it has
	trial   string                   // the one on trial
	number  uint64                   // of the trial
	refuse  string                   // a word that it does not take
	applied func(n *node, to string) // called when a trial has begun; mu is held
	asked   []string                 // the commands, in order
}

// newNodes makes nodes, and a laptop with a key for them.
func newNodes(t *testing.T, count int) (list []*node) {
	t.Helper()
	_, line := sshd.Home(t, "")
	for range count {
		n := &node{text: "old"}
		n.Server = sshd.Start(t, "exec", n.answer)
		n.Allow(line)
		list = append(list, n)
	}
	return list
}

func (n *node) answer(ch ssh.Channel, command string) (status int) {
	var text []byte
	if strings.Contains(command, " - ") {
		text, _ = io.ReadAll(ch)
	}
	out, err := n.do(command, string(text))
	if err != nil {
		fmt.Fprintln(ch.Stderr(), "shelf: "+err.Error())
		return fault.Code(err)
	}
	fmt.Fprint(ch, out)
	return 0
}

// do is the node's answer to a command.
func (n *node) do(command, text string) (string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked = append(n.asked, command)
	command = strings.TrimPrefix(command, "sudo shelf config ")
	switch word, _, _ := strings.Cut(command, " "); word {
	case "check", "apply":
		if n.refuse == word {
			return "", fault.New(fault.Input, "", "the configuration is not taken")
		}
		plan := config.Plan{Hostname: "shelf", Role: "worker", Board: "rpi4"}
		if text != n.text {
			plan.Changes = []config.Change{{Path: "network.search"}}
		}
		if word == "apply" {
			if n.trial != "" {
				return "", fault.New(fault.Usage, "", "another configuration is on trial")
			}
			n.number++
			n.trial, plan.Trial = text, n.number
			if n.applied != nil {
				n.applied(n, text)
			}
		}
		out, err := json.Marshal(plan)
		return string(out), err
	case "confirm":
		if n.trial == "" || command != fmt.Sprint("confirm ", n.number) {
			return "", fault.New(fault.Usage, "", "no configuration is on trial; it may have been taken back")
		}
		n.text, n.trial = n.trial, ""
		return "", nil
	}
	return "", fault.New(fault.Usage, "", "unknown command %s", command)
}

// did reports whether a command with this word reached the node.
func (n *node) did(word string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.ContainsFunc(n.asked, func(s string) bool { return strings.Contains(s, word) })
}

func (n *node) has() string { n.mu.Lock(); defer n.mu.Unlock(); return n.text }

// give runs `imgbuild apply` with a configuration.
func give(t *testing.T, text string, words ...string) error {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := program().Parse(append([]string{"apply", "config=" + file, "key=accept-new"}, words...))
	if err != nil {
		t.Fatal(err)
	}
	return doApply(t.Context(), a)
}

func hosts(nodes []*node) (list []string) {
	for _, n := range nodes {
		list = append(list, n.Address)
	}
	return list
}

func failed(t *testing.T, err error, kind fault.Kind, texts ...string) {
	t.Helper()
	if fault.Code(err) != int(kind) {
		t.Errorf("code %d: %v, want %v", fault.Code(err), err, int(kind))
		return
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%q is not in: %v", text, err)
		}
	}
}

const newText = "network: {search: [lan]}\n"

func TestApplyAll(t *testing.T) {
	nodes := newNodes(t, 3)
	nodes[1].text = newText // has it already
	if err := give(t, newText, hosts(nodes)...); err != nil {
		t.Fatal(err)
	}
	for i, n := range nodes {
		if n.has() != newText {
			t.Errorf("node %d has %q", i, n.has())
		}
	}
	if nodes[1].did("apply") {
		t.Error("a node that has the configuration was changed")
	}
}

// Every node is asked before the first one is changed.
func TestApplyChecksAll(t *testing.T) {
	nodes := newNodes(t, 3)
	nodes[2].refuse = "check"
	failed(t, give(t, newText, hosts(nodes)...), fault.Input, "no node was changed", nodes[2].Address, "the configuration is not taken")
	nodes[1].Close()
	failed(t, give(t, newText, hosts(nodes)...), fault.Network, "no node was changed", nodes[1].Address+" cannot be reached")
	for i, n := range nodes {
		if n.did("apply") {
			t.Errorf("node %d was changed", i)
		}
	}
	failed(t, give(t, newText, nodes[0].Address, nodes[0].Address), fault.Usage, "are the same node")
}

// The first failure ends it, and every node is reported.
func TestApplyStops(t *testing.T) {
	nodes := newNodes(t, 4)
	nodes[0].text = newText
	nodes[2].applied = func(n *node, _ string) { n.Close() } // gone with its new configuration
	err := give(t, newText, append(hosts(nodes), "try=2")...)
	failed(t, err, fault.Network, "stopped at "+nodes[2].Address+"; changed and confirmed: "+nodes[1].Address+"; not touched: "+nodes[3].Address, "goes back")
	if nodes[1].has() != newText || nodes[3].did("apply") {
		t.Error("it did otherwise")
	}
	nodes = newNodes(t, 2)
	nodes[0].refuse = "apply"
	err = give(t, newText, hosts(nodes)...)
	failed(t, err, fault.Input, "stopped at "+nodes[0].Address+"; not touched: "+nodes[1].Address)
	if err != nil && strings.Contains(err.Error(), "changed and confirmed") {
		t.Error(err)
	}
}

// A connection that the first node's turn has cost is made again.
func TestApplyLoginAgain(t *testing.T) {
	nodes := newNodes(t, 2)
	nodes[0].applied = func(*node, string) { nodes[1].Cut() }
	if err := give(t, newText, hosts(nodes)...); err != nil || nodes[1].has() != newText {
		t.Errorf("%v, %q", err, nodes[1].has())
	}
}

// A node that moved to another address is found there, though its old one keeps silent, and known
// by its key.
func TestApplyMoves(t *testing.T) {
	const moved = "network: {interfaces: [{name: eth0, addresses: [127.0.0.3/8, 127.0.0.2/8], dns: [127.0.0.1]}]}\n"
	nodes := newNodes(t, 2)
	n, other := nodes[0], nodes[1] // another machine that lets the same key in
	other.number, other.trial = 1, "somebody else's"
	old := n.Address
	_, port, _ := net.SplitHostPort(old)
	n.applied = func(n *node, _ string) {
		n.Listen("127.0.0.2:" + port)
		silent, err := net.Listen("tcp", old)
		if err != nil {
			t.Error(err)
			return
		}
		t.Cleanup(func() { silent.Close() })
		other.Listen("127.0.0.3:" + port)
	}
	if err := give(t, moved, old); err != nil || n.has() != moved {
		t.Errorf("%v, %q", err, n.has())
	}
	if other.did("confirm") {
		t.Error("another machine was asked")
	}
}

// A trial that was taken back is not confirmed, and neither is what somebody else tries.
func TestApplyTakenBack(t *testing.T) {
	n := newNodes(t, 1)[0]
	n.applied = func(n *node, _ string) { n.number, n.trial = n.number+1, "somebody else's" }
	failed(t, give(t, newText, n.Address), fault.Usage, "taken back")
	if n.has() != "old" {
		t.Errorf("it has %q", n.has())
	}
}

func TestApplyOnlyOne(t *testing.T) {
	nodes := newNodes(t, 2)
	for text, want := range map[string]string{
		"hostname: node1\n": "the hostname node1 cannot belong to 2 nodes",
		"network: {interfaces: [{name: eth0, addresses: [192.0.2.7/24], gateway: 192.0.2.1}]}\n": "the address 192.0.2.7/24 cannot belong to 2 nodes",
	} {
		failed(t, give(t, text, hosts(nodes)...), fault.Input, want)
	}
	if nodes[0].did("check") {
		t.Error("the nodes were asked")
	}
	byMAC := "network: {interfaces: [{mac: '02:00:00:00:00:01', addresses: [192.0.2.7/24], gateway: 192.0.2.1}]}\n"
	if err := give(t, byMAC, hosts(nodes)...); err != nil {
		t.Error(err)
	}
}

// A user who does not want to wait is informed what the node does.
func TestApplyInterrupted(t *testing.T) {
	n := newNodes(t, 1)[0]
	ctx, stop := context.WithCancel(t.Context())
	n.applied = func(n *node, _ string) { n.Close(); stop() }
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, []byte(newText), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := program().Parse([]string{"apply", "config=" + file, "key=accept-new", n.Address})
	if err != nil {
		t.Fatal(err)
	}
	if err := doApply(ctx, a); fault.Code(err) != int(fault.Interrupted) {
		t.Errorf("code %d: %v, want %v", fault.Code(err), err, int(fault.Interrupted))
	}
}

// A node without k3s' access file, such as a worker, is distinguished from one that cannot be
// reached, and the error has a fix.
func TestKubeconfigOfNoServer(t *testing.T) {
	n := newNodes(t, 1)[0]
	ask := func() error {
		return dispatch(t.Context(), []string{"kubeconfig", n.Address, "key=accept-new", "out=" + filepath.Join(t.TempDir(), "config")})
	}
	failed(t, ask(), fault.Unhealthy, "returns no access file", "ask a node with the role server")
	n.Close()
	failed(t, ask(), fault.Network, "cannot be reached")
}
