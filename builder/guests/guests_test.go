package guests

import (
	"reflect"
	"strings"
	"testing"

	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
)

// parsed is a configuration as the node reads it; a problem is an error of the test.
func parsed(t *testing.T, text []byte, role string) *config.Config {
	t.Helper()
	layer, problems := config.Parse("config.yaml", text)
	c, more := config.Merge(layer)
	for _, p := range append(problems, more...) {
		if p.Severity == config.Error {
			t.Errorf("%v in:\n%s", p, text)
		}
	}
	for _, p := range config.Check(c, config.Facts{Role: role}) {
		if p.Severity == config.Error {
			t.Errorf("%v in:\n%s", p, text)
		}
	}
	return c
}

// A server and its workers: each has its name, its address and what joins it, and keeps what the
// user wrote.
func TestConfig(t *testing.T) {
	p := Plan{Role: "server", Count: 3, K3s: true, Token: "made", Name: "config.yaml",
		Base: []byte("# mine\nssh_authorized_keys: [github:me]\nk3os:\n  labels: {a: b}\n  k3s_args: --v=2\n")}
	nodes, err := p.Nodes()
	if err != nil || len(nodes) != 3 {
		t.Fatalf("got %v, %v, want 3 nodes", nodes, err)
	}
	for i, want := range []Node{{"node1", "server", "52:54:00:00:77:01", "10.77.0.1"}, {"node2", "worker", "52:54:00:00:77:02", "10.77.0.2"},
		{"node3", "worker", "52:54:00:00:77:03", "10.77.0.3"}} {
		if nodes[i] != want {
			t.Errorf("got %+v, want %+v", nodes[i], want)
		}
		text, err := p.Config(nodes[i])
		if err != nil {
			t.Fatal(err)
		}
		c := parsed(t, text, want.Role)
		url := ""
		if want.Role == "worker" {
			url = "https://10.77.0.1:6443"
		}
		if c.Hostname != want.Name || c.K3OS.Token != "made" || c.K3OS.ServerURL != url || c.K3OS.Labels["a"] != "b" || !reflect.DeepEqual(c.SSHAuthorizedKeys, []string{"github:me"}) {
			t.Errorf("got\n%s", text)
		}
		if args := []string{"--node-ip=" + want.Address, "--flannel-iface=eth1", "--v=2"}; !reflect.DeepEqual(c.K3OS.K3sArgs, args) {
			t.Errorf("got the arguments %q, want %q", c.K3OS.K3sArgs, args)
		}
		if in := c.Network.Interfaces; len(in) != 2 || in[0].MAC != outside || !in[0].DHCP || in[1].MAC != want.MAC || in[1].DHCP || !reflect.DeepEqual(in[1].Addresses, []string{want.Address + "/24"}) {
			t.Errorf("got the interfaces %+v", in)
		}
	}
}

// Workers of a server elsewhere keep its address and token; a name gets a number.
func TestWorkers(t *testing.T) {
	p := Plan{Role: "worker", Count: 2, K3s: true, Name: "config.yaml", Base: []byte("hostname: web\nk3os: {server_url: 'https://a:6443', token: theirs}\n")}
	nodes, err := p.Nodes()
	if err != nil {
		t.Fatal(err)
	}
	text, err := p.Config(nodes[1])
	if err != nil {
		t.Fatal(err)
	}
	if c := parsed(t, text, "worker"); c.Hostname != "web-2" || c.K3OS.ServerURL != "https://a:6443" || c.K3OS.Token != "theirs" {
		t.Errorf("got\n%s", text)
	}
	empty := Plan{Role: "storage", Count: 2, Name: "config.yaml"}
	if nodes, err = empty.Nodes(); err != nil {
		t.Fatal(err)
	}
	if text, err = empty.Config(nodes[0]); err != nil || strings.Contains(string(text), "k3os") {
		t.Errorf("without k3s: got %v\n%s", err, text)
	}
}

func TestRefusals(t *testing.T) {
	for role, text := range map[string]string{
		"worker": "network: {dns: {nameservers: [1.1.1.1]}}\n",
		"server": "k3os: {server_url: 'https://a:6443'}\n",
	} {
		_, err := Plan{Role: role, Count: 2, K3s: true, Name: "my.yaml", Base: []byte(text)}.Nodes()
		if fault.Code(err) != int(fault.Input) || !strings.Contains(err.Error(), "my.yaml") {
			t.Errorf("%s: got %v, want a fault of kind Input that names the file", text, err)
		}
	}
}
