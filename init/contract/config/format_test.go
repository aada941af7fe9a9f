package config

import (
	"fmt"
	"strings"
	"testing"
)

// imager is user-data as Raspberry Pi Imager 2 writes it for a name, a key, a password and a time
// zone.
const imager = `#cloud-config
hostname: shelf-pi
manage_etc_hosts: true
packages:
- avahi-daemon
apt:
  conf: |
    Acquire {
      Check-Date "false";
    };
timezone: Europe/London
keyboard:
  model: pc105
  layout: "gb"
enable_ssh: true
users:
- name: pi
  groups: users,adm,dialout,audio,netdev,video,plugdev,cdrom,games,input,gpio,spi,i2c,render,sudo
  shell: /bin/bash
  lock_passwd: false
  passwd: $5$MnTpYwUn6q$b9bl6VJzSx1b0r6LZVkM8uVlvQFjKhFqFzgYsJQ1d2.
  ssh_authorized_keys:
    - ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIrm8bZbX3kcyvSGUjqqGlKVvPCuPTrVK2hHJKv1yDyN me@laptop
  sudo: ALL=(ALL) NOPASSWD:ALL
runcmd:
  - [ rfkill, unblock, wifi ]
  - [ sh, -c, "for f in /var/lib/systemd/rfkill/*:wlan; do echo 0 > \"$f\"; done" ]
  - [ sh, -c, "echo it's me > /tmp/x" ]
  - sed -i 's/a/b/' /etc/nothing
`

const imagerNetwork = `network:
  version: 2
  wifis:
    wlan0:
      dhcp4: true
      regulatory-domain: "GB"
      access-points:
        "the \"home\" net":
          hidden: true
          password: "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
      optional: true
`

// formats are sources in cloud-init's formats: the file's name, and what a node makes of it.
var formats = []struct {
	file string
	fact
}{
	{UserDataName, fact{"Imager", imager, map[string]string{
		"hostname": "shelf-pi", "time.zone": "Europe/London",
		"ssh_authorized_keys": `["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIrm8bZbX3kcyvSGUjqqGlKVvPCuPTrVK2hHJKv1yDyN me@laptop"]`,
		"k3os.password":       "$5$MnTpYwUn6q$b9bl6VJzSx1b0r6LZVkM8uVlvQFjKhFqFzgYsJQ1d2.",
		"run_cmd": fmt.Sprintf("%q", []string{"(\nsh -c 'echo it'\\''s me > /tmp/x'\n) || echo \"it failed with status $?, and the next one goes on\"",
			"(\nsed -i 's/a/b/' /etc/nothing\n) || echo \"it failed with status $?, and the next one goes on\""})},
		[]string{"user-data:3:1: note: manage_etc_hosts", "4:1: warning: packages: a key of cloud-init that has no effect here; the system is read-only", "6:1: note: apt", "12:1: note: keyboard", "15:1: note: enable_ssh",
			`17:3: warning: users[0]: this node has one login, rancher; it gets the keys and password of "pi"; log in with ssh rancher@NODE`,
			"26:5: note: run_cmd[0]: this system has no rfkill", "27:5: note: run_cmd[1]"}}},
	{NetworkConfigName, fact{"Imager's Wi-Fi", imagerNetwork, map[string]string{"network.country": "GB", "network.wifi[0].name": `the "home" net`, "network.interfaces": "[]",
		"network.wifi[0].hidden": "true", "network.wifi[0].passphrase": "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}, nil}},
	{NetworkConfigName, fact{"a static address", `version: 2
ethernets:
  lan:
    match: {macaddress: "DC:A6:32:01:02:03"}
    set-name: eth0
    addresses: [192.168.1.10/24, "192.168.1.11/24": {label: x}]
    nameservers: {addresses: [192.168.1.1], search: [lan]}
    routes: [{to: default, via: 192.168.1.1}, {to: 10.0.0.0/8, via: 192.168.1.2, metric: 5, on-link: true}]
    mtu: 1400
  eth1: {dhcp4: yes, optional: true, dhcp4-overrides: {route-metric: 300}}
  usb: {match: {name: "en*"}, dhcp4: true}
vlans: {v: {}}
`, map[string]string{"network.interfaces[0].mac": "dc:a6:32:01:02:03", "network.interfaces[0].dhcp": "false", "network.interfaces[0].addresses": `["192.168.1.10/24" "192.168.1.11/24"]`,
		"network.interfaces[0].gateway": "192.168.1.1", "network.interfaces[0].dns": `["192.168.1.1"]`, "network.interfaces[0].search": `["lan"]`, "network.interfaces[0].routes": "[{10.0.0.0/8 192.168.1.2 5}]",
		"network.interfaces[0].mtu": "1400", "network.interfaces[1].name": "eth1", "network.interfaces[1].dhcp": "true", "network.interfaces[1].optional": "true", "network.interfaces[1].metric": "300", "network.interfaces[2].name": "unset", "network.vlans": "[]"},
		[]string{"5:5: note: ethernets.lan.set-name", "6:54: warning: ethernets.lan.addresses[1].label", "network-config:12:9: error: vlans.v: a VLAN needs a number"}}},
	{NetworkConfigName, fact{"version 3", "version: 3\nethernets: {eth0: {addresses: [10.0.0.2/24]}}", map[string]string{"network.interfaces": "[]"}, []string{"1:10: error: network.version: only versions 1 and 2"}}},
	{MetaDataName, fact{"meta-data", "instance-id: i-1\nlocal-hostname: cloudy\npublic-keys: {me: ssh-rsa AAAAB3 x, you: [ssh-rsa AAAAB4 y]}", map[string]string{"hostname": "cloudy", "ssh_authorized_keys": `["ssh-rsa AAAAB3 x" "ssh-rsa AAAAB4 y"]`}, nil}},
	{UserDataName, fact{"k3OS's own", "ssh_authorized_keys: [a]\nrun_cmd: [x, y]\nk3os: {token: t}\nusers: [default, {name: rancher, ssh-authorized-keys: [b], plain_text_passwd: p, lock_passwd: no}]",
		map[string]string{"ssh_authorized_keys": `["a" "b"]`, "run_cmd": `["x" "y"]`, "k3os.token": "t", "k3os.password": "p"}, nil}},
	{UserDataName, fact{"more users", "users:\n- {name: rancher, passwd: x, ssh_import_id: [gh:me, lp:you]}\n- {name: eve, ssh_authorized_keys: [k]}\n- {name: bob, sudo: 'ALL=(ALL) ALL', ssh_authorized_keys: k2}",
		map[string]string{"ssh_authorized_keys": `["github:me" "launchpad:you" "k2"]`, "k3os.password": ""}, []string{`3:3: warning: users[1]: this node has one login, rancher, which may do everything; "eve" has no sudo`, `users[2]: this node has one login`}}},
	{UserDataName, fact{"passwords and time", "password: secret\nchpasswd: {expire: false, users: [{name: a, password: other}]}\nssh_pwauth: true\nntp: {enabled: true, servers: [a.example], pools: [b.example]}\nfqdn: n.example\nssh_import_id: gh:me",
		map[string]string{"k3os.password": "secret", "time.servers": `["a.example" "b.example"]`, "hostname": "n.example", "ssh_authorized_keys": `["github:me"]`}, []string{"ssh_pwauth: sshd takes keys only"}}},
	{UserDataName, fact{"netplan inside", "network: {version: 2, ethernets: {eth0: {dhcp4: true}}}", map[string]string{"network.interfaces[0].name": "eth0"}, nil}},
	{UserDataName, fact{"our network inside", "network: {dns: [1.1.1.1]}", map[string]string{"network.dns": `["1.1.1.1"]`}, nil}},
	{UserDataName, fact{"a script", "#!/bin/sh\necho hello\n", map[string]string{"write_files[0].path": ScriptPath, "write_files[0].content": "#!/bin/sh\necho hello\n", "write_files[0].permissions": "0700", "run_cmd": `["/run/k3os/userdata"]`}, nil}},
	{UserDataName, fact{"an archive", "Content-Type: multipart/mixed\n", nil, []string{`user-data that begins with "Content-Type:" is not read`}}},
	{UserDataName, fact{"a mistake", "users: [{name: rancher, ssh_authorized_keys: [k]}]\nruncmd: [\n", map[string]string{"ssh_authorized_keys": `["k"]`}, []string{"this is not YAML"}}},
	{UserDataName, fact{"a typo", "hostnam: a\nusers: [{name: rancher, ssh_authorized_keys: [k]}]", map[string]string{"ssh_authorized_keys": `["k"]`}, []string{"1:1: warning: hostnam: there is no such key; it is ignored; did you mean hostname?"}}},
	{UserDataName, fact{"nonsense", "users: {a: b}\nntp: 3\nchpasswd: [x]\nruncmd: [{a: b}]\nnetwork: {wifis: [x]}", nil, []string{"users[0].a", "ntp", "chpasswd", "run_cmd[0]", "wifis"}}},
	{MetaDataName, fact{"not a map", "hello", nil, []string{"not a map of keys"}}},
}

func TestFormats(t *testing.T) {
	for _, f := range formats {
		t.Run(f.file+" "+f.name, func(t *testing.T) {
			l, problems := Parse(f.file, []byte(f.in))
			c, more := Merge(l)
			f.check(t, c, append(problems, more...))
		})
	}
}

// The secrets of the other formats are blanked in place and put back like those of config.yaml.
func TestFormatSecrets(t *testing.T) {
	for _, f := range []struct{ file, in, secret string }{
		{UserDataName, imager, "MnTpYwUn6q"},
		{NetworkConfigName, imagerNetwork, "0123456789abcdef0123"},
		{UserDataName, "users: [{name: a, plain_text_passwd: clear-text, lock_passwd: false}, {name: b, passwd: clear-text}]", "clear-text"},
	} {
		first, err := Import(f.file, []byte(f.in), nil, []byte("0123456789abcdef"))
		if err != nil || first.Blanked == nil || strings.Contains(string(first.Blanked), f.secret) || len(first.Blanked) != len(f.in) {
			t.Errorf("%s: %v\n%s", f.file, err, first.Blanked)
			continue
		}
		again, err := Import(f.file, first.Blanked, first.Keep, nil)
		a, _ := Merge(first.Layer)
		b, problems := Merge(again.Layer)
		if err != nil || a.K3OS.Password != b.K3OS.Password || fmt.Sprint(a.AllWiFi()) != fmt.Sprint(b.AllWiFi()) || len(problems) > 0 {
			t.Errorf("%s: %v %v: %q %v and %q %v", f.file, err, problems, a.K3OS.Password, a.AllWiFi(), b.K3OS.Password, b.AllWiFi())
		}
		if a.K3OS.Password != "" && !Hashed(a.K3OS.Password) {
			t.Errorf("%s keeps %q", f.file, a.K3OS.Password)
		}
	}
}

func TestDataSource(t *testing.T) {
	const key = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3"
	hash := strings.Repeat("0a", 32)
	for in, want := range map[string]string{
		"cidata": "", "NoCloud": "", "cdrom": "", "file=/a/b": "", "https://h/x?y=z#sha256=" + hash: "", "http://h/x#minisign=" + key: "",
		"aws": "a board is not in a cloud", "nocluod": "nocloud is", "file=a": "not an absolute path", "https://h/x": "there is no hash or key", "https://h/x#sha256=12": "64 hex digits",
		"https://h/x#minisign=abc": "not a public key", "https://#sha256=" + hash: "is not a URL", "": "is not a source",
	} {
		s, err := ParseDataSource(in)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v; want %q", in, s, err, want)
		}
		if err == nil && strings.Contains(s.URL, "#") {
			t.Errorf("%q leads to %q", in, s.URL)
		}
	}
}

func FuzzFormats(f *testing.F) {
	for _, c := range formats {
		f.Add(uint8(FormatOf(c.file)), []byte(c.in))
	}
	f.Add(uint8(1), []byte("ssh_authorized_keys: &a [*a]\nusers: [{ssh_authorized_keys: *a}]"))
	f.Add(uint8(2), []byte("wifis: &a {w: {access-points: {x: *a}}, <<: *a}"))
	f.Fuzz(func(t *testing.T, format uint8, data []byte) {
		fm := Format(format % 4)
		l, problems := ParseAs(fm, "f", data)
		lines := strings.Count(string(data), "\n") + 1
		for _, p := range problems {
			if p.Line > lines {
				t.Errorf("%s is outside of the file", p)
			}
		}
		c, _ := Merge(l)
		Check(c, Facts{Role: "worker"})
		if out, _, err := Blank(fm, data); err == nil && len(out) != len(data) {
			t.Error("blanking changes the length")
		}
	})
}

func FuzzDataSource(f *testing.F) {
	for _, s := range []string{"cidata", "file=/a/../b", "https://h/x#sha256=" + strings.Repeat("0a", 32), "http://u:p@h:1/%2f?q#minisign=RWQ", "https://[::1]/#sha256"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseDataSource(text)
		if ways := len(s.SHA256) == 32 || s.Key != nil; err == nil && s.URL != "" && !ways {
			t.Errorf("%q is taken without a hash or a key", text)
		}
		if err == nil && !s.Volume && s.Path == "" && s.URL == "" {
			t.Errorf("%q is nothing", text)
		}
	})
}

// A text that is neither YAML nor a program is never run as root.
func TestUserDataThatIsNoProgram(t *testing.T) {
	for _, data := range []string{"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03abc", "BZh91AY", "\xfd7zXZ\x00\x00", "\x28\xb5\x2f\xfd\x00", "PK\x03\x04\x00\x00", "hostname: a\n\x00\x00", "\x00\x00\x00\x00\x00", "\x89PNG\r\n\x00"} {
		l, problems := Parse(UserDataName, []byte(data))
		if l.Has("run_cmd") || l.Has("write_files") || len(problems) == 0 || !problems[0].Fatal {
			t.Errorf("%q: %v", data, problems)
		}
	}
	if l, _ := Parse(UserDataName, []byte("\x7fELF\x02\x00")); !l.Has("run_cmd") {
		t.Error("a program is not run")
	}
	for name, want := range map[string]Format{"user-data.txt": UserData, "USER-DATA": UserData, "network-config.yaml": NetworkConfig, "meta-data": MetaData, "config.yaml": Native, "config.txt": Native} {
		if got := FormatOf(name); got != want {
			t.Errorf("%s is of format %d", name, got)
		}
	}
}

// An empty file is an error under every name except meta-data, which cloud-init leaves empty.
func TestEmpty(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       bool
	}{
		{"config.yaml", "", true}, {"config.yaml", " \r\n\t", true}, {"config.yaml", "\ufeff\n", true}, {"config.yaml", "\x00\x00", true},
		{"user-data", "", true}, {"network-config", "\n", true}, {"dir/meta-data", "", false}, {"meta-data", "\x00", true},
		{"config.yaml", "# nothing\n", false}, {"config.yaml", "{}", false}, {"config.yaml", "---\n", false},
	} {
		got := Empty(c.name, []byte(c.text))
		if (got != nil) != c.want {
			t.Errorf("%s %q: got %v, want a problem: %v", c.name, c.text, got, c.want)
		}
		if got != nil && (got[0].Severity != Error || got[0].File != c.name || got[0].Fix == "") {
			t.Errorf("%s %q: got %+v, want an error with file and fix", c.name, c.text, got[0])
		}
	}
}
