package config

import (
	"fmt"
	"strings"
	"testing"
)

const goodKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIrm8bZbX3kcyvSGUjqqGlKVvPCuPTrVK2hHJKv1yDyN me@laptop"

// parse reads one source that must have no fatal problem.
func parse(t *testing.T, in string) *Config {
	t.Helper()
	l, problems := Parse("f.yaml", []byte(in))
	for _, p := range problems {
		if p.Fatal {
			t.Fatal(p)
		}
	}
	c, _ := Merge(l)
	return c
}

func TestCheck(t *testing.T) {
	const key = "ssh_authorized_keys: [" + goodKey + "]\n"
	const join = "k3os: {server_url: 'https://s:6443', token: long-enough}\n"
	worker, server := Facts{Role: "worker"}, Facts{Role: "server"}
	for _, f := range []struct {
		name string
		in   string
		f    Facts
		want []string
	}{
		{"a good server", key, server, nil},
		{"a good worker", key + join, worker, nil},
		{"a worker alone", key, worker, []string{"warning: k3os.server_url: this worker does not start k3s before it knows its server; missing: k3os.server_url and k3os.token"}},
		{"a worker without token", key + "k3os: {server_url: 'https://s:6443'}", worker, []string{"f.yaml:2:1: warning: k3os.token: this worker"}},
		{"a worker with a token file", key + "k3os: {server_url: 'https://s:6443', k3s_args: [agent, --token-file=/etc/t]}", worker, nil},
		{"nobody", "hostname: a", server, []string{"warning: ssh_authorized_keys: nobody will be able to log in: there is no ssh key"}},
		{"console only", "k3os: {password: '$6$salt1234$7vYDzW/0BSK6g.QJXnin/odIMK9hfjAdb4JkTDxpk.1htoyOUm8eFCuJUZ4J9d1Z.KGmArwsl5OLBN1nBRZRZ0'}", server, []string{"over the network"}},
		{"clear text", key + "k3os: {password: hello}", server, []string{"2:18: warning: k3os.password: the password is here in clear text"}},
		{"a hash cut by a template", key + "k3os: {password: $1}", server, []string{"begins with $ but is not a crypt(5) hash"}},
		{"a broken key", "ssh_authorized_keys: [ssh-rsa AAAAB3Nz, " + goodKey + "]", server, []string{"1:23: error: ssh_authorized_keys[0]: this is not an ssh public key"}},
		{"a private key", "ssh_authorized_keys: ['-----BEGIN OPENSSH PRIVATE KEY-----', " + goodKey + "]", server, []string{"this is a private key"}},
		{"accounts", "ssh_authorized_keys: ['github:me', 'gitlab:you', 'https://a/b.keys']", server, nil},
		{"an account without name", "ssh_authorized_keys: ['github:', 'http://a/b.keys']", server, []string{"names no account", "anybody on the way"}},
		{"agent on a server", key + "k3os: {k3s_args: [agent]}", server, []string{"error: k3os.k3s_args[0]: agent contradicts the role of this node, server; write server, or set shelf.role: worker"}},
		{"server on a worker", key + "k3os: {server_url: 'https://s:6443', token: long-enough, k3s_args: [server]}", worker, []string{"server contradicts the role of this node, worker"}},
		{"the role from the file", key + "shelf: {role: worker}\n" + join, server, nil},
		{"a server's flag on a worker", key + "k3os: {server_url: 'https://s:6443', token: long-enough, k3s_args: [--cluster-init]}", worker, []string{"k3s agent has no flag --cluster-init"}},
		{"a flag with a space", key + "k3os: {k3s_args: [server, '--disable traefik']}", server, []string{"2:27: error: k3os.k3s_args[1]: k3s gets this as one word"}},
		{"not a flag", key + "k3os: {k3s_args: [kubectl]}", server, []string{"neither a flag of k3s nor a role"}},
		{"a token in the arguments", key + "k3os: {k3s_args: [server, --token=abcdefgh]}", server, []string{"stays readable on the boot partition"}},
		{"http", key + "k3os: {server_url: 'http://s:6443', token: long-enough}", worker, []string{"k3s takes https:// URLs only"}},
		{"no port", key + "k3os: {server_url: 'https://s', token: long-enough}", worker, []string{"k3s listens on 6443"}},
		{"an odd token", key + "k3os: {token: K10abc::server:x}", server, []string{"begins like k3s' long form"}},
		{"a token with a line end", key + "k3os: {token: \"abcdefgh\\n\"}", server, []string{"white space"}},
		{"a short token", key + "k3os: {token: abc}", server, []string{"easily guessed"}},
		{"hostnames", key + "hostname: my_node", server, []string{`error: hostname: "my_node" is not a host name`}},
		{"a hostname in capitals", key + "hostname: Node1", server, []string{"small letters only; write node1"}},
		{"a long hostname", key + "hostname: " + strings.Repeat("a", 65), server, []string{"at most 64"}},
		{"labels", key + "k3os: {labels: {node-role.kubernetes.io/worker: x, a b: c, ok: 'no good', node.kubernetes.io/x: y}}", server,
			[]string{"may not give itself the label", `"a..." is not a name`, `"no..." is not the value`}},
		{"taints", key + "k3os: {taints: ['a=b:NoSchedul', 'a', 'k:NoExecute', 'a=b c:NoSchedule']}", server,
			[]string{`"NoSchedul" is not an effect of a taint, NoSchedule is`, `"a" is not a taint`, `"b..." is not the value of a taint`}},
		{"sysctls", key + "k3os: {sysctls: {'../etc/x': 1, net.ipv4.ip_forward: 0, vm.swappiness: '', net/core/somaxconn: 5}}", server,
			[]string{"is not the name of a kernel setting", "pods cannot reach each other", "has no value"}},
		{"files", key + "write_files: [{path: a}, {content: x}, {path: /usr/bin/x}, {path: /usr/local/x}, {path: /a, encoding: b64, content: '!'}, {path: /b/}]", server,
			[]string{"not an absolute path", "the file has no path", "cannot be written on a running node", "not base64", "is a directory"}},
		{"the token that the data have", key + "k3os: {token: long-enough}", Facts{Role: "server", Token: "K10aa::server:long-enough\n"}, nil},
		{"another token than the data have", key + "k3os: {token: long-enough}", Facts{Role: "server", Token: "K10aa::server:another\n"},
			[]string{"2:15: error: k3os.token: the data of this server were made with another token: k3s would not start; put the token of the cluster into k3os.token, or take the key out; to change the token of the cluster run `imgbuild token rotate`"}},
		{"another token on a worker", key + join, Facts{Role: "worker", Token: "K10aa::server:another\n"}, nil},
		{"an address by DHCPv6 alone", key + "network: {interfaces: [{name: eth0, dhcp: false, dhcp6: true}]}", server, nil},
		{"no address", key + "network: {interfaces: [{name: eth0, dhcp: false}]}", server, []string{"warning: network.interfaces[0]: the interface gets no address at all"}},
		{"memory", key, Facts{Role: "server", Board: "rpi3", Memory: 948 << 20}, []string{"error: shelf.role: rpi3 has 948 MB of memory, too little for a server"}},
		{"little memory", key + join, Facts{Role: "worker", Memory: 450 << 20}, []string{"warning: shelf.role: this machine has 450 MB"}},
		{"roles of the slot", key + "shelf: {role: router}\nrouter: {uplink: {interface: eth1}}", Facts{Role: "worker", Roles: []string{"server", "worker"}}, []string{"2:15: error: shelf.role: this image cannot be a router; it can be server or worker"}},
		{"no effect on the role", key + "router: {mode: nat}", server, []string{"warning: router.mode: it has no effect on a server"}},
		{"automatic upgrades", key + "upgrade: {auto: true, channel: 'https://nas.lan/shelf.channel', source: 'http://nas.lan/b/', window: 'sat,sun 22:00-04:00', lock: none}", server, nil},
		{"automatic upgrades to nothing", key + "upgrade: {auto: true}", server, []string{"2:17: error: upgrade.auto: nothing names the version"}},
		{"a channel that is none", key + "upgrade: {channel: 'ftp://nas/x', source: nas.lan}", server, []string{"2:20: error: upgrade.channel: the address is not that", "2:43: error: upgrade.source: \"nas.lan\" is not that"}},
		{"a window that is none", key + "upgrade: {window: '2-5'}", server, []string{"2:19: error: upgrade.window: \"2-5\" is no window"}},
		{"upgrade key", key + "upgrade: {keys: [RWnonsense]}", server, []string{"2:18: error: upgrade.keys[0]: \"RWnonsense\" is not a public key of minisign"}},
		{"the installer", key + "k3os: {install: {device: /dev/sda}}", server, []string{"note: k3os.install: k3OS's installer is gone"}},
		{"an interface", key + "network: {interfaces: [{name: eth0, addresses: [192.168.1.2/24], gateway: 10.0.0.1, gateway6: 192.168.1.1, routes: [{to: default}]}]}", server,
			[]string{"gateway 10.0.0.1 is in none", "are two gateways of one family", "needs its address family"}},
		{"no way out", key + "network: {interfaces: [{name: eth1, addresses: [10.0.0.2/24]}]}", server, []string{"note: network.interfaces[0]: this interface has no way out"}},
		{"the same interface twice", key + "network: {interfaces: [{name: eth0}, {name: eth0}]}", server, []string{"is the interface of item 0 as well"}},
		{"wifi", key + "network: {wifi: [{name: a, passphrase: short}]}", server, []string{"8 to 63 characters, this has 5", "without a country"}},
		{"services", key + "services: {Bad: {}, a: {command: [x/y], ready: {tcp: 'a:1', file: /b}, needs: [a]}}", server,
			[]string{"is not the name of a service", "has no command", "needs itself", "2 ways to be ready", "is not an absolute path"}},
		{"udev's names", key + "data: {device: /dev/disk/by-id/usb-x}\nbackup: {to: 'sftp://a:hunter22@b/c'}", server, []string{"does not exist on the node", "password in the URL is not used"}},
		{"backup", key + "backup: {to: 'ftp://a/b'}\ndata: {device: sda}", server, []string{"neither an nfs:// nor", "names no disk"}},
	} {
		t.Run(f.name, func(t *testing.T) {
			got := Check(parse(t, f.in), f.f)
			left := append([]string(nil), f.want...)
			for _, p := range got {
				found := false
				for i, w := range left {
					if strings.Contains(p.String(), w) {
						left, found = append(left[:i], left[i+1:]...), true
						break
					}
				}
				if !found {
					t.Errorf("unexpected: %s", p)
				}
			}
			for _, w := range left {
				t.Errorf("missing: %s", w)
			}
		})
	}
}

// A missing key is reported where it belongs, and else without a place.
func TestMissingHasNoStrangePlace(t *testing.T) {
	image, _ := Parse("the image", []byte("shelf: {role: worker}\nk3os: {labels: {a: b}}"))
	image.Unseen = true
	cmdline, _ := CmdlineLayer("k3os.labels.x=y")
	imager, _ := Parse(UserDataName, []byte("users: [{name: rancher, passwd: '$1$a$b', lock_passwd: false}]"))
	file, _ := Parse("config.yaml", []byte("hostname: a\nk3os: {token: long-enough}"))
	for _, f := range []struct {
		layers []*Layer
		want   string
	}{
		{[]*Layer{image}, "warning: k3os.server_url: this worker"},
		{[]*Layer{image, cmdline}, "warning: k3os.server_url: this worker"},
		{[]*Layer{image, imager}, "warning: k3os.server_url: this worker"},
		{[]*Layer{imager, file, cmdline}, "config.yaml:2:1: warning: k3os.server_url: this worker"},
	} {
		c, _ := Merge(f.layers...)
		found := false
		for _, p := range Check(c, Facts{Role: "worker"}) {
			found = found || strings.HasPrefix(p.String(), f.want)
		}
		if !found {
			t.Errorf("%q is not among %v", f.want, Check(c, Facts{Role: "worker"}))
		}
	}
}

// Check must not need Merge: other packages make a Config by hand in their tests.
func TestCheckByHand(t *testing.T) {
	if got := Check(&Config{}, Facts{}); len(got) != 1 || got[0].Line != 0 {
		t.Errorf("got %v", got)
	}
}

func TestRoleOf(t *testing.T) {
	for _, f := range []struct{ in, built, want string }{
		{"", "", "server"}, {"", "worker", "worker"}, {"shelf: {role: storage}", "worker", "storage"},
		{"k3os: {server_url: x}", "", "worker"}, {"k3os: {server_url: x, k3s_args: [server]}", "", "server"}, {"k3os: {k3s_args: [agent]}", "", "worker"},
	} {
		if got := parse(t, f.in).RoleOf(f.built); got != f.want {
			t.Errorf("%q built as %q is %q, want %q", f.in, f.built, got, f.want)
		}
	}
}

func TestFile(t *testing.T) {
	gz := "H4sIAAAAAAACA8tIzcnJBwCGphA2BQAAAA=="
	for _, f := range []File{{Content: "hello"}, {Content: "aGVs\nbG8=", Encoding: "b64"}, {Content: gz, Encoding: "gzip+base64"}, {Content: gz, Encoding: "gz+b64"}} {
		if got, err := f.Data(); err != nil || string(got) != "hello" {
			t.Errorf("%+v gives %q, %v", f, got, err)
		}
	}
	for _, f := range []File{{Content: "%", Encoding: "b64"}, {Content: "hello", Encoding: "gz"}, {Content: gz[:24], Encoding: "gz+b64"}} {
		if got, err := f.Data(); err == nil {
			t.Errorf("%+v gives %q", f, got)
		}
	}
	for in, want := range map[string]string{"": "-rw-r--r--", "0600": "-rw-------", "4755": "urwxr-xr-x", "0o1777": "trwxrwxrwx"} {
		if got := (File{Permissions: in}).Mode(); fmt.Sprint(got) != want {
			t.Errorf("%q is %v, want %s", in, got, want)
		}
	}
}

// A name that is none is not given to the node: it would stay with the Kubernetes node for good.
// A name that programs take for an address is used, with a warning: it may be in use already.
func TestHostnameIsNumber(t *testing.T) {
	for name, want := range map[string]bool{"1": true, "10.0.0.5": true, "0x1f": true, "901.2": true, "node-1": false, "1a": false, "1.lan": false, "0xnode": false, "1.2.3.4.5": false, "": false} {
		c := &Config{Hostname: name}
		got := false
		for _, p := range Check(c, Facts{}) {
			got = got || p.Severity == Warning && strings.Contains(p.Message, "as an IPv4 address")
		}
		if got != want || c.UsableHostname() != name {
			t.Errorf("%q: warning %v, want %v; used as %q", name, got, want, c.UsableHostname())
		}
	}
}

func TestUsableHostname(t *testing.T) {
	for name, want := range map[string]string{"": "", "node-1": "node-1", "Node-1.lan": "Node-1.lan", "Shelf_1": "", "my node": "", "a..b": "", "-a": "", "\u201cnode\u201d": "", "../etc": "", strings.Repeat("a", 65): ""} {
		if got := (&Config{Hostname: name}).UsableHostname(); got != want {
			t.Errorf("%q gives %q, want %q", name, got, want)
		}
	}
}
