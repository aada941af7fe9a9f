package cluster

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
)

var update = flag.Bool("update", false, "write the golden files again")

// plain reads secrets that are not encrypted.
func plain(t *testing.T, file string) *Secrets {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := &Secrets{File: file}
	if err := s.parse(text); err != nil {
		t.Fatal(err)
	}
	return s
}

// The example of the issue gives five configurations that their nodes take without a warning.
func TestExample(t *testing.T) {
	c, problems, err := Check("testdata/cluster.yaml", plain(t, "testdata/cluster.secrets.yaml"))
	if err != nil || len(problems) > 0 {
		t.Fatalf("%v, want no problems: %v", problems, err)
	}
	if len(c.Nodes) != 5 {
		t.Fatalf("%d nodes, want 5", len(c.Nodes))
	}
	for _, n := range c.Nodes {
		golden := filepath.Join("testdata", n.Name+".golden.yaml")
		if *update {
			if err := os.WriteFile(golden, n.Config, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(n.Config, want) {
			t.Errorf("%s: got\n%s\nwant\n%s", n.Name, n.Config, want)
		}
	}
}

// The page shows the example, and secrets that go with it.
func TestDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/cluster.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$").FindAllStringSubmatch(string(page), -1)
	if len(blocks) != 2 {
		t.Fatalf("%d blocks of YAML, want 2", len(blocks))
	}
	example, err := os.ReadFile("testdata/cluster.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if blocks[0][1] != string(example) {
		t.Errorf("the page has\n%s\nwant testdata/cluster.yaml", blocks[0][1])
	}
	s := &Secrets{File: SecretsFile}
	if err := s.parse([]byte(blocks[1][1])); err != nil {
		t.Fatal(err)
	}
	r := &reader{file: File, secrets: s, read: func(string, string) ([]byte, error) {
		return []byte("storage: {disks: [{device: auto}]}"), nil
	}}
	if c := r.cluster([]byte(blocks[0][1])); c == nil {
		t.Error(r.sorted())
	}
}

// try reads a file of this text, with secrets in clear or without ("" for none).
func try(t *testing.T, text, secrets string) (*Cluster, []config.Problem) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, File)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var s *Secrets
	if secrets != "" {
		s = &Secrets{File: filepath.Join(dir, SecretsFile)}
		if err := s.parse([]byte(secrets)); err != nil {
			t.Fatal(err)
		}
	}
	c, problems, err := Check(file, s)
	if err != nil {
		t.Fatal(err)
	}
	return c, problems
}

const (
	key    = "defaults: {ssh_authorized_keys: ['ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIrm8bZbX3kcyvSGUjqqGlKVvPCuPTrVK2hHJKv1yDyN a']}\n"
	token  = "defaults: {k3os: {token: a-long-random-word}}\n"
	server = "  one: {board: rpi4, role: server, address: 10.0.0.11/24}\n"
	worker = "  two: {board: rpi4, role: worker, address: 10.0.0.12/24}\n"
)

// What is wrong is one sentence with line and way out, and there is no cluster.
func TestRefused(t *testing.T) {
	for _, c := range []struct{ text, secrets, want string }{
		{"", "", ":1:1: error: nodes: the file has no nodes"},
		{"nodes: {}", "", "the file has no nodes"},
		{"nodes:\n\tone: {}", "", ":2:1: error: this is not YAML"},
		{"noodes: {}\nnodes:\n" + server, token, ":1:1: error: noodes: there is no such key; did you mean nodes?"},
		{"nodes:\n" + server + server, token, ":3:3: error: one is there twice, first in line 2; give it another name"},
		{"nodes:\n" + server + "  two: {board: rpi4, role: worker, address: 10.0.0.11/24}\n", token, ":3:3: error: nodes.two.address: 10.0.0.11 is the address of one in line 2 as well"},
		{"nodes:\n  one: {board: rpi4, role: server, adress: 10.0.0.1/24}", token, ":2:36: error: nodes.one.adress: there is no such key; did you mean address?"},
		{"nodes:\n  one: {board: rpi4, role: server, config: {k3os: {lables: {a: b}}}}", token, ":2:52: error: nodes.one.config.k3os.lables: there is no such key; did you mean k3os.labels?"},
		{"nodes:\n  one: {board: rpi44, role: server}", token, ":2:16: error: nodes.one.board: there is no board \"rpi44\"; did you mean rpi4?"},
		{"nodes:\n  one: {board: rpi4}", token, ":2:3: error: nodes.one.role: the node has no role"},
		{"nodes:\n  one: {role: worker}", token, ":2:3: error: nodes.one.board: the node has no board"},
		{"nodes:\n  one: {board: rpi4, role: sever}", token, ":2:28: error: nodes.one.role: there is no role \"sever\"; did you mean server?"},
		{"nodes:\n  One: {board: rpi4, role: server}", token, ":2:3: error: nodes.One: \"One\" is not a name for a node"},
		{"nodes:\n  all: {board: rpi4, role: server}", token, "the name all stands for every node"},
		{"defaults: {gateway: 10.0.1.1}\nnodes:\n" + server, token, ":3:45: error: nodes.one.address: the gateway 10.0.1.1 is not in the network 10.0.0.0/24"},
		{"nodes:\n  one: {board: rpi4, role: server, address: 10.0.0.11}", token, "\"10.0.0.11\" is not an address with a prefix length; write the length of the network too, mostly 10.0.0.11/24"},
		{"nodes:\n  one: {board: rpi4, role: server, address: 10.0.0.255/24}", token, "10.0.0.255/24 cannot be the address of a node"},
		{"defaults: {address: 10.0.0.11/24}\nnodes:\n" + server, token, ":1:12: error: defaults.address: address cannot be the same on several nodes"},
		{"defaults: {hostname: a}\nnodes:\n" + server, token, "hostname cannot be the same on several nodes"},
		{"nodes:\n  one: {board: rpi4, role: server, config: {hostname: two}}", token, "the hostname \"two\" is not the node's name one"},
		{"nodes:\n" + worker, token, ":2:3: error: nodes.two: two has no server to join; add a node with role: server"},
		{"nodes:\n  one: {board: rpi4, role: server}\n" + worker, token, "the others cannot find the server one: it has no address"},
		{"nodes:\n  a: {board: rpi4, role: server, address: 10.0.0.1/24, config: {k3os: {k3s_args: [--cluster-init]}}}\n  b: {board: rpi4, role: server, address: 10.0.0.2/24, config: {k3os: {k3s_args: [--cluster-init]}}}", token, ":3:3: error: nodes.b: a and b would both be the first server"},
		{"nodes:\n" + server + "  two: {board: rpi4, role: worker, config: {k3os: {token: a-long-random-word}}}", "", ":3:59: error: k3os.token: a secret is in clear; write the word secret here"},
		{"nodes:\n  one: {board: rpi4, role: server, config: {k3os: {k3s_args: [--token=abcdefgh]}}}", token, "a secret is in clear in this text"},
		{"nodes:\n  one: {board: rpi4, role: server, config: {k3os: {token: secret}}}", "", ":2:59: error: k3os.token: one needs this secret, and it is not in cluster.secrets.yaml; run `imgbuild new cluster`"},
		{"nodes:\n  one: {board: rpi4, role: server, config: {network: {wifi: [{name: Home, passphrase: secret}]}}}", token, "error: network.wifi[0].passphrase: one needs this secret, and it is not in cluster.secrets.yaml; write it into"},
		{"nodes:\n  one: {board: rpi4, role: server, config: {network: {wifi: [{name: Home, passphrase: secret}]}}}", token + "nodes: {one: {config: {network: {wifi: [{name: Hom, passphrase: correct horse}]}}}}", "does not have this"},
		{"nodes:\n" + server, token + "nodes: {one: {config: {time: {zone: Europe/Berlin}}}}", "nodes.one.config.time: "},
		{"nodes:\n  one: {board: rpi4, role: server, config: none.yaml}", token, "none.yaml does not exist"},
		{"nodes:\n  one: {board: rpi4, role: server, config: {write_files: [{path: 3, permissions: rw}]}}", token, ":2:82: error: write_files[0].permissions: one: "},
		{"nodes:\n  one: &a {board: *a, role: server}", token, "error: "},
	} {
		got, problems := try(t, c.text, c.secrets)
		if got != nil {
			t.Errorf("%s: a cluster in spite of %v", c.text, problems)
		}
		var b strings.Builder
		for _, p := range problems {
			if p.Line == 0 {
				t.Errorf("%s: no line: %s", c.text, p)
			}
			b.WriteString(p.String() + "\n")
		}
		if !strings.Contains(b.String(), c.want) {
			t.Errorf("%s:\ngot  %swant %s", c.text, b.String(), c.want)
		}
	}
}

// of is the configuration of a node as the node reads it.
func of(t *testing.T, c *Cluster, name string) *config.Config {
	t.Helper()
	n := c.Node(name)
	if n == nil {
		t.Fatalf("there is no node %s", name)
	}
	l, problems := config.Parse("config.yaml", n.Config)
	if len(problems) > 0 {
		t.Fatalf("%s: %v", name, problems)
	}
	got, _ := config.Merge(l)
	return got
}

func TestDerived(t *testing.T) {
	c, problems := try(t, key+`nodes:
  a: {board: rpi4, role: server, address: 10.0.0.1/24, config: {addons: {vm: {chart: x, version: 1.0.0, repo: 'https://example.org', values: {scrape: [{job_name: shelf}, {job_name: other}]}}}}}
  b: {board: rpi4, role: server, address: 10.0.0.2/24, config: {k3os: {k3s_args: "--disable traefik"}}}
  c: {board: rpi4, role: server, address: 10.0.0.3/24}
  w: {board: rpi4, role: worker}
  n: {board: rpi4, role: worker, address: 10.77.0.20/24, mac: 'DC:A6:32:0A:0B:0C'}
  r: {board: rpi3, role: router, address: 10.0.0.9/24, config: {router: {mode: nat, uplink: eth1, shelf: eth0}}}
  z: {board: rpi4, role: storage, address: 10.0.0.8/24, config: {storage: {disks: [{device: auto}], shares: {a: {via: [nfs]}, b: {via: [smb], guest: true}}}}}
`, token)
	if c == nil {
		t.Fatal(problems)
	}
	lead, second := of(t, c, "a"), of(t, c, "b")
	if args := strings.Join(lead.K3OS.K3sArgs, " "); lead.K3OS.ServerURL != "" || !strings.Contains(args, "--cluster-init") || !strings.Contains(args, "--tls-san=10.0.0.3") || !strings.Contains(args, "--tls-san=b.local") {
		t.Errorf("the first server has %q and the arguments %s", lead.K3OS.ServerURL, args)
	}
	if args := strings.Join(second.K3OS.K3sArgs, " "); second.K3OS.ServerURL != "https://10.0.0.1:6443" || strings.Contains(args, "--cluster-init") || !strings.HasPrefix(args, "--disable traefik --tls-san=") {
		t.Errorf("the second server has %q and the arguments %s", second.K3OS.ServerURL, args)
	}
	w := of(t, c, "w")
	if w.K3OS.ServerURL != "https://10.0.0.1:6443" || w.K3OS.Token != "a-long-random-word" || len(w.Network.Interfaces) != 0 {
		t.Errorf("the worker has %q, %q, %v", w.K3OS.ServerURL, w.K3OS.Token, w.Network.Interfaces)
	}
	if got := string(w.WriteFiles[0].Content); w.WriteFiles[0].Path != "/etc/hosts" || !strings.HasPrefix(got, "10.0.0.1 a a.local\n10.0.0.2 b b.local\n") || strings.Contains(got, " w ") {
		t.Errorf("/etc/hosts of w: %q", got)
	}
	if text := string(c.Node("a").Config); strings.Count(text, "w.local:9100") != 1 || strings.Count(text, "10.0.0.8:9100") != 1 {
		t.Errorf("the targets of the one job called shelf are missing or twice:\n%s", text)
	}
	r := of(t, c, "r")
	if len(r.Router.Leases) != 1 || r.Router.Leases[0] != (config.RouterLease{MAC: "dc:a6:32:0a:0b:0c", Name: "n", Address: "10.77.0.20"}) {
		t.Errorf("leases: %v", r.Router.Leases)
	}
	if i := r.Network.Interfaces; len(i) != 1 || i[0].Name != "eth1" || i[0].Addresses[0] != "10.0.0.9/24" {
		t.Errorf("the router's uplink: %v", i)
	}
	z := of(t, c, "z")
	if a, b := z.Storage.Shares["a"].Networks, z.Storage.Shares["b"].Networks; strings.Join(a, " ") != "10.0.0.0/24 10.77.0.0/24" || b != nil {
		t.Errorf("networks: %v and %v", a, b)
	}
	if z.K3OS.Token != "" {
		t.Error("a storage node has the cluster's token")
	}
}

// What the file has itself is never replaced by what follows from other nodes.
func TestOwnCounts(t *testing.T) {
	c, problems := try(t, key+`nodes:
  one: {board: rpi4, role: server, address: 10.0.0.11/24}
  two: {board: rpi4, role: worker, address: 10.0.0.12/24, gateway: 10.0.0.1, dns: 10.0.0.1, config: {k3os: {server_url: 'https://other:6443'}, network: {dns: [9.9.9.9], interfaces: [{name: eth0, mtu: 1400, gateway: 10.0.0.254}]}, write_files: [{path: /etc/hosts, content: x}]}}
`, token)
	if c == nil {
		t.Fatal(problems)
	}
	two := of(t, c, "two")
	i := two.Network.Interfaces
	if two.K3OS.ServerURL != "https://other:6443" || len(i) != 1 || i[0].Gateway != "10.0.0.254" || i[0].Addresses[0] != "10.0.0.12/24" || two.Network.DNS[0] != "9.9.9.9" || len(two.WriteFiles) != 1 {
		t.Errorf("got\n%s", c.Node("two").Config)
	}
}

// With sealed secrets everything else is checked, and no node has a configuration.
func TestSealed(t *testing.T) {
	for text, want := range map[string]string{
		"nodes:\n" + server + worker: "",
		"nodes:\n  one: {board: rpi4, role: storage, config: {storage: {users: {a: {uid: 1500, smb_nt_hash: secret}}}}}\n": "",
		"nodes:\n  one: {board: rpi4, role: server, config: {k3os: {labels: {'a b': c}}}}\n":                               "k3os.labels",
	} {
		file := filepath.Join(t.TempDir(), File)
		if err := os.WriteFile(file, []byte(key+text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, problems, err := Check(file, &Secrets{File: SecretsFile})
		if err != nil {
			t.Fatal(err)
		}
		bad := config.Refused(problems)
		if want == "" {
			if c == nil || len(bad) > 0 || c.Nodes[0].Config != nil {
				t.Errorf("%s: %v, want no error and no configuration", text, problems)
			}
		} else if c != nil || len(bad) != 1 || !strings.HasPrefix(bad[0], want) {
			t.Errorf("%s: %v, want an error of %s", text, problems, want)
		}
	}
}

func TestFind(t *testing.T) {
	c, problems := try(t, key+"nodes:\n"+server+worker, token)
	if c == nil {
		t.Fatal(problems)
	}
	names := func(words ...string) string {
		list, err := c.Find(words...)
		if err != nil {
			return err.Error()
		}
		var out []string
		for _, n := range list {
			out = append(out, n.Name)
		}
		return strings.Join(out, " ")
	}
	for words, want := range map[string]string{"all": "one two", "two": "two", "two one two": "one two", "": ""} {
		if got := names(strings.Fields(words)...); got != want {
			t.Errorf("%q: got %q, want %q", words, got, want)
		}
	}
	if _, err := c.Find("tow"); fault.Code(err) != int(fault.Usage) || !strings.Contains(err.Error(), "did you mean two?") {
		t.Errorf("got %v", err)
	}
	if _, err := c.Find("all", "one"); fault.Code(err) != int(fault.Usage) {
		t.Errorf("got %v", err)
	}
}
