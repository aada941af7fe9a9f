package config

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// read returns the field of c at a canonical path, printed with %v; items by index, entries by
// name in brackets.
func read(t *testing.T, c *Config, path string) string {
	t.Helper()
	v := reflect.ValueOf(c).Elem()
	for _, name := range regexp.MustCompile(`\[[^\]]*\]|[^.\[]+`).FindAllString(path, -1) {
		switch {
		case name[0] == '[' && v.Kind() == reflect.Map:
			v = v.MapIndex(reflect.ValueOf(name[1 : len(name)-1]))
			if !v.IsValid() {
				return "unset"
			}
		case name[0] == '[':
			var i int
			fmt.Sscan(name[1:], &i)
			if i >= v.Len() {
				return "unset"
			}
			v = v.Index(i)
		default:
			v = field(v, name)
		}
	}
	if v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.String {
		return fmt.Sprintf("%q", v)
	}
	return fmt.Sprintf("%v", v)
}

// a case: sources joined by "//" lines, what must be read, and the problems that must be reported,
// by substring and in order; none means that there must be no problem at all.
type fact struct {
	name, in string
	want     map[string]string
	problems []string
}

func (f fact) check(t *testing.T, c *Config, problems []Problem) {
	t.Helper()
	for path, want := range f.want {
		if got := read(t, c, path); got != want {
			t.Errorf("%s = %s, want %s", path, got, want)
		}
	}
	for i, p := range problems {
		if i >= len(f.problems) || !strings.Contains(p.String(), f.problems[i]) {
			t.Errorf("problem %d is %q, want one with %q", i, p, append(f.problems, make([]string, i+1)...)[i])
		}
	}
	if len(problems) < len(f.problems) {
		t.Errorf("got %d problems %v, want %q", len(problems), problems, f.problems)
	}
}

// k3OS's results for these inputs were measured on its own code. Where it rejected everything or
// lost a value in silence, what is plain is applied here and the rest is reported.
var facts = []fact{
	{"a name that YAML 1.1 takes for a truth value", "ssh_authorized_keys: [a]\nk3os: {ntp_servers: [x], dns_nameservers: [y]}",
		map[string]string{"ssh_authorized_keys": `["a"]`, "k3os.ntp_servers": `["x"]`, "k3os.dns_nameservers": `["y"]`}, nil},
	{"dashes", "ssh-authorized-keys: [a]\nwrite-files: [{path: /a, content: b}]\nk3os: {ntp-servers: [x]}",
		map[string]string{"ssh_authorized_keys": `["a"]`, "write_files[0].path": "/a", "k3os.ntp_servers": `["x"]`}, nil},
	{"upper case", "SSH_AUTHORIZED_KEYS: [a]\nHostname: h\nHOSTNAME: h2\nK3OS: {TOKEN: x}",
		map[string]string{"ssh_authorized_keys": `["a"]`, "hostname": "h2", "k3os.token": "x"},
		[]string{`f.yaml:3:1: warning: hostname: "Hostname" and "HOSTNAME" are the same key`}},
	{"a spelling that k3OS did not read comes later", "ssh_authorized_keys: [a]\nssh-authorized-keys: [b]\nSSH_AUTHORIZED_KEYS: [c]\nk3os: {token: t, TO-KEN: u}",
		map[string]string{"ssh_authorized_keys": `["a"]`, "k3os.token": "t"}, []string{"2:1: warning: ssh_authorized_keys: \"ssh_authorized_keys\" and \"ssh-authorized-keys\" are the same key; the first one counts", "3:1: warning", "4:18: warning: k3os.token"}},
	{"a spelling that k3OS did not read comes first", "ssh-authorized-keys: [b]\nsshAuthorizedKeys: [a]", map[string]string{"ssh_authorized_keys": `["a"]`}, []string{"are the same key; the later one counts"}},
	{"singular", "ssh_authorized_key: a\nk3os: {module: m, dns_nameserver: y, ntp_server: n, taint: 'a=b:NoSchedule', label: {a: b}, sysctl: {c: d}, data_source: cdrom, k3s_arg: server}",
		map[string]string{"ssh_authorized_keys": `["a"]`, "k3os.modules": `["m"]`, "k3os.dns_nameservers": `["y"]`, "k3os.ntp_servers": `["n"]`,
			"k3os.taints": `["a=b:NoSchedule"]`, "k3os.labels[a]": "b", "k3os.sysctls[c]": "d", "k3os.data_sources": `["cdrom"]`, "k3os.k3s_args": `["server"]`}, nil},
	{"joined", "runcmd: [a]\nbootcmd: [b]\ninitcmd: [c]", map[string]string{"run_cmd": `["a"]`, "boot_cmd": `["b"]`, "init_cmd": `["c"]`}, nil},
	{"a command in one text", "run_cmd: 'a b'", map[string]string{"run_cmd": `["a b"]`}, nil},
	{"wifi pass, name n", "k3os: {wifi: [{name: n, pass: p}]}", map[string]string{"k3os.wifi[0].name": "n", "k3os.wifi[0].passphrase": "p"}, nil},
	{"wifi as a map", "k3os: {wifi: {name: n, passphrase: p}}", map[string]string{"k3os.wifi[0].name": "n", "k3os.wifi[0].passphrase": "p"},
		[]string{"f.yaml:1:14: note: k3os.wifi: read as a list of one"}},
	{"sysctls", "k3os: {sysctl: {a.b: 1, c: true, d: 1.5, e: 10000000, f: '4 4 1 7'}}",
		map[string]string{"k3os.sysctls[a.b]": "1", "k3os.sysctls[c]": "true", "k3os.sysctls[d]": "1.5", "k3os.sysctls[e]": "10000000", "k3os.sysctls[f]": "4 4 1 7"}, nil},
	{"quoted truth", "k3os: {install: {silent: 'true', power_off: 'yes', no_format: 'false', debug: true}}",
		map[string]string{"k3os.install.silent": "true", "k3os.install.power_off": "true", "k3os.install.no_format": "false", "k3os.install.debug": "true"},
		[]string{"1:45: note: k3os.install.power_off: read as true; k3OS read this text as false"}},
	{"a mode without quotes", "write_files: [{path: /a, content: b, permissions: 0644}]", map[string]string{"write_files[0].permissions": "0644"}, nil},
	{"binary content", "write_files: [{path: /a, content: !!binary AAEC}]", map[string]string{"write_files[0].content": "\x00\x01\x02"}, nil},
	{"append", "write_files: [{path: /a, content: b, append: true}]", map[string]string{"write_files[0].content": "b", "write_files[0].append": "true"}, nil},
	{"hostname 123", "hostname: 123", map[string]string{"hostname": "123"}, nil},
	{"hostname y", "hostname: y", map[string]string{"hostname": "y"}, nil},
	{"hostname date", "hostname: 2020-01-01", map[string]string{"hostname": "2020-01-01"}, nil},
	{"k3s_args in one text", "k3os: {k3s_args: 'server --x'}", map[string]string{"k3os.k3s_args": `["server" "--x"]`}, []string{"split into its words"}},
	{"name servers in one text", "k3os: {dns_nameservers: '1.1.1.1,8.8.8.8'}", map[string]string{"k3os.dns_nameservers": `["1.1.1.1" "8.8.8.8"]`}, []string{"each is read on its own"}},
	{"unknown keys", "foo: bar\nusers: [x]\nk3os: {nope: 1}", nil, []string{"f.yaml:1:1: warning: foo: there is no such key", "users: ", "3:8: warning: k3os.nope: "}},
	{"three spellings", "k3os: {ntp_servers: [a], ntp_server: [b], ntpServers: [c]}", map[string]string{"k3os.ntp_servers": `["c"]`},
		[]string{`"ntp_servers" and "ntp_server" are the same key`, `"ntp_server" and "ntpServers" are the same key`}},
	{"top-level keys replace", "ssh_authorized_keys: [a]\nrun_cmd: [x]\n//\nssh_authorized_keys: [b]", map[string]string{"ssh_authorized_keys": `["b"]`, "run_cmd": `["x"]`}, nil},
	{"spelling across sources", "ssh_authorized_keys: [a]\n//\nsshAuthorizedKeys: [b]", map[string]string{"ssh_authorized_keys": `["b"]`}, nil},
	{"maps replace", "k3os: {labels: {a: '1', b: '2'}}\n//\nk3os: {labels: {b: '3'}}", map[string]string{"k3os.labels": "map[b:3]"}, nil},
	{"k3os merges", "k3os: {token: t, server_url: u}\n//\nk3os: {password: p}", map[string]string{"k3os.token": "t", "k3os.server_url": "u", "k3os.password": "p"}, nil},
	{"null erases", "hostname: a\nk3os: {token: t}\n//\nhostname: null\nk3os: {token: null}", map[string]string{"hostname": "", "k3os.token": ""}, nil},
	{"not a map", "hello", map[string]string{"hostname": ""}, []string{`f.yaml:1:1: error: the file is a text, not a map of keys`}},
	{"the same key twice", "hostname: a\nhostname: b", map[string]string{"hostname": "b"}, []string{"f.yaml:2:1: warning: hostname: the key is there twice; the later one counts"}},
	{"two documents", "hostname: a\n---\nhostname: b", map[string]string{"hostname": "a"}, []string{"f.yaml:2:1: warning: only the first document"}},
	{"byte order mark", "\ufeffhostname: a", map[string]string{"hostname": "a"}, nil},
	{"truth values and octal in labels", "k3os: {labels: {a: yes, b: on, c: 0o17, d: 010}}",
		map[string]string{"k3os.labels": "map[a:true b:true c:0o17 d:010]"},
		[]string{"k3os.labels.a: read as true, as k3OS did", "k3os.labels.b: read as true", "k3OS made 15 of it", "k3OS made 8 of it"}},
	{"numbers in labels", "k3os: {labels: {e: 10000000, f: 1e3, i: 1_000, j: 12:30:45, k: 2020-01-01}}",
		map[string]string{"k3os.labels": "map[e:10000000 f:1e3 i:1_000 j:12:30:45 k:2020-01-01]"}, []string{"k3OS made 1000 of it", "k3OS made 1000 of it"}},
	{"large numbers and a key n", "k3os: {labels: {l: 999999, m: 1000000, n: 123456789012}}", map[string]string{"k3os.labels": "map[l:999999 m:1000000 n:123456789012]"}, nil},
	{"more numbers", "k3os: {labels: {a: 1500000, b: 999999.5, c: 4294967295}}", map[string]string{"k3os.labels": "map[a:1500000 b:999999.5 c:4294967295]"}, nil},
	{"null in a map is empty", "k3os: {labels: {a: null, b: }}", map[string]string{"k3os.labels": "map[a: b:]"}, nil},
	{"silent yes", "k3os: {install: {silent: yes}}", map[string]string{"k3os.install.silent": "true"}, nil},
	{"a list without value", "write_files:", map[string]string{"write_files": "[]"}, nil},
	{"a passphrase of digits", "k3os: {wifi: [{name: home, passphrase: 12345678}]}", map[string]string{"k3os.wifi[0].passphrase": "12345678"}, nil},
	{"two bare lines of keys", "ssh_authorized_keys:\n  ssh-ed25519 AAAAC3Nz me@a\n  ssh-rsa AAAAB3Nz me@b\n",
		map[string]string{"ssh_authorized_keys": `["ssh-ed25519 AAAAC3Nz me@a" "ssh-rsa AAAAB3Nz me@b"]`}, []string{"2:3: warning: ssh_authorized_keys: 2 keys are in one text"}},
	{"more spellings", "HOSTNAME: h2\nRUNCMD: [a]\nk3os: {NTPServers: [a], DNSNameservers: [b], ServerURL: c}",
		map[string]string{"hostname": "h2", "run_cmd": `["a"]`, "k3os.ntp_servers": `["a"]`, "k3os.dns_nameservers": `["b"]`, "k3os.server_url": "c"}, nil},
	{"spellings k3OS did not know", "k3os: {env: {A: b}, install: {efi: true}}", map[string]string{"k3os.environment": "map[]", "k3os.install.force_efi": "false"},
		[]string{"did you mean k3os.environment?", "did you mean k3os.install.force_efi?"}},
	{"nothing is expanded", "hostname: ${HOST}\nk3os: {token: '$1$salt $(id) `id`', password: $6$x}\nrun_cmd: ['echo $HOME ~']",
		map[string]string{"hostname": "${HOST}", "k3os.token": "$1$salt $(id) `id`", "k3os.password": "$6$x", "run_cmd": `["echo $HOME ~"]`}, nil},
	{"carriage returns", "hostname: a\r\nk3os:\r\n  token: t\r\n", map[string]string{"hostname": "a", "k3os.token": "t"}, nil},
}

func TestFacts(t *testing.T) {
	for _, f := range facts {
		t.Run(f.name, func(t *testing.T) {
			var layers []*Layer
			var problems []Problem
			for _, source := range strings.Split(f.in, "\n//\n") {
				l, p := Parse("f.yaml", []byte(source))
				layers, problems = append(layers, l), append(problems, p...)
			}
			c, more := Merge(layers...)
			f.check(t, c, append(problems, more...))
		})
	}
}

var cmdlines = []fact{
	{"two keys", "k3os.token=TOK k3os.server_url=https://m:6443", map[string]string{"k3os.token": "TOK", "k3os.server_url": "https://m:6443"}, nil},
	{"a list", "k3os.dns_nameserver=1.1.1.1 k3os.dns_nameserver=8.8.8.8 k3os.dns_nameserver=9.9.9.9",
		map[string]string{"k3os.dns_nameservers": `["1.1.1.1" "8.8.8.8" "9.9.9.9"]`}, nil},
	{"the documented map form", `k3os.sysctl[kernel.printk]="4 4 1 7"`, map[string]string{"k3os.sysctls": "map[kernel.printk:4 4 1 7]"}, nil},
	{"a dotted name", `k3os.sysctl.kernel.printk="4 4 1 7"`, map[string]string{"k3os.sysctls": "map[kernel.printk:4 4 1 7]"}, nil},
	{"two spellings of a map", "k3os.labels.region=eu k3os.label.x=y", map[string]string{"k3os.labels": "map[region:eu x:y]"}, nil},
	{"two spellings of a list", "k3os.dns_nameservers=1.1.1.1 k3os.dns_nameserver=8.8.8.8", map[string]string{"k3os.dns_nameservers": `["1.1.1.1" "8.8.8.8"]`}, nil},
	{"truth values", "k3os.install.silent k3os.install.force_efi=false k3os.install.power_off=1",
		map[string]string{"k3os.install.silent": "true", "k3os.install.force_efi": "false", "k3os.install.power_off": "true"}, nil},
	{"a quoted word", `"ssh_authorized_keys=ssh-rsa AAAA me@x" hostname=bar`, map[string]string{"ssh_authorized_keys": `["ssh-rsa AAAA me@x"]`, "hostname": "bar"}, nil},
	{"wifi", "k3os.wifi.name=a k3os.wifi.passphrase=b k3os.wifi.name=c", map[string]string{"k3os.wifi": "[{a b false 0 } {c  false 0 }]"}, nil},
	{"a section and a key of it", "k3os=1 k3os.token=a", map[string]string{"k3os.token": "a"}, []string{"/proc/cmdline:1:1: error: k3os: this must be a section"}},
	{"a key and its section", "k3os.token=a k3os=1", map[string]string{"k3os.token": "a"}, []string{"/proc/cmdline:1:14: error: k3os: "}},
	{"arguments", `k3os.k3s_args="server --disable traefik"`, map[string]string{"k3os.k3s_args": `["server" "--disable" "traefik"]`}, []string{"split into its words"}},
	{"words of others", "systemd=1 systemd.unit=foo hostname=z", map[string]string{"hostname": "z"}, nil},
	{"control words", "k3os.debug k3os.mode=local console=ttyS0 root=/dev/sda1 rootwait init=/init ro shelf.disk=PARTUUID=1a2b3c4d-01 shelf.slot=a shelf.trial=0 shelf.left=3 shelf.last=ok shelf.rescue shelf.watchdog=off shelf.test=panic",
		map[string]string{"hostname": ""}, nil},
	{"environment", "k3os.environment.HTTP_PROXY=http://x k3os.env.FOO=bar", map[string]string{"k3os.environment": "map[HTTP_PROXY:http://x]"},
		[]string{"1:38: warning: k3os.env: there is no such key; it is ignored; did you mean k3os.environment?"}},
	{"the boot loader names the board", "shelf.board=qemu-arm64", map[string]string{"shelf.board": "qemu-arm64"}, nil},
	{"a text twice", "hostname=a hostname=b", map[string]string{"hostname": "b"}, []string{"1:12: warning: hostname: the key is there twice"}},
	{"brackets where none belong", "k3os.token[a]=b", map[string]string{"k3os.token": ""}, []string{"takes no name in brackets"}},
	{"a service", "services.web.command=/bin/web services.web.memory=64M", map[string]string{"services[web].command": `["sh" "-c" "/bin/web"]`, "services[web].memory": "67108864"}, nil},
	{"a name with = in brackets", "k3os.label[a]=b=c", map[string]string{"k3os.labels": "map[a:b=c]"}, nil},
	{"an interface", "network.interfaces.name=eth0 network.interfaces.address=10.0.0.2/24 network.interfaces.routes.to=default",
		map[string]string{"network.interfaces[0].addresses": `["10.0.0.2/24"]`, "network.interfaces[0].dhcp": "false", "network.interfaces[0].routes[0].to": "default"}, nil},
}

func TestCmdline(t *testing.T) {
	for _, f := range cmdlines {
		t.Run(f.name, func(t *testing.T) {
			l, problems := CmdlineLayer(f.in)
			c, more := Merge(l)
			f.check(t, c, append(problems, more...))
		})
	}
}
