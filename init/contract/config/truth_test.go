package config

import (
	"fmt"
	"strings"
	"testing"
)

// yamlFalse are all ways to write false in YAML 1.1 and in what people write next to it; yamlTrue
// the same for true.
var (
	yamlFalse = []string{"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF", "n", "N", "'no'", `"false"`, "0", "null", "Null", "NULL", "~", "", "!!bool false", "!!str no", "&a no"}
	yamlTrue  = []string{"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON", "y", "Y", "'yes'", `"true"`, "1", "!!bool true"}
	neither   = []string{"maybe", "[]", "{}", "2", "truee", "ja", "[true]", "none"}
)

func userDataOf(t *testing.T, text string) *Config {
	t.Helper()
	l, _ := Parse(UserDataName, []byte(text))
	c, _ := Merge(l)
	return c
}

// A user without sudo has no login here, whatever way that is written: the one login may do
// everything.
func TestSudo(t *testing.T) {
	const user = "users:\n- name: bob\n  ssh_authorized_keys: [k]\n"
	granted := func(sudo string) bool {
		return len(userDataOf(t, user+"  sudo: "+sudo+"\n").SSHAuthorizedKeys) > 0
	}
	for _, no := range append(append(yamlFalse, yamlTrue...), "maybe", "[]", "{}", "''", "' '", "[no]", "[false, null]", "ALL", "nopasswd", "ALL=(ALL)", "ALL=(ALL) NOPASSWD:", "ALL=(bob) ALL",
		"ALL=(ALL) NOPASSWD: /usr/bin/systemctl", "ALL=(ALL) !ALL", "ALL=(ALL) NOPASSWD:ALL, !/bin/sh", "['ALL=(ALL) /bin/ls']", "host=(ALL) ALL", "[[ALL=(ALL) ALL]]") {
		if granted(no) || granted(no+"\n  groups: [adm, sudo]") {
			t.Errorf("sudo: %s makes an administrator", no)
		}
	}
	for _, yes := range []string{"ALL=(ALL) NOPASSWD:ALL", "'ALL=(ALL) NOPASSWD: ALL'", "ALL=(ALL:ALL) ALL", "ALL = (ALL) ALL", "['ALL=(ALL) NOPASSWD:ALL']", "[no, 'ALL=(ALL) ALL']", "ALL=(root) NOPASSWD:SETENV:ALL", "ALL=ALL"} {
		if !granted(yes) {
			t.Errorf("sudo: %s grants nothing", yes)
		}
	}
	for groups, want := range map[string]bool{"[adm, sudo]": true, "adm, sudo": true, "users,sudo": true, "wheel": true, "[adm]": false, "nosudo": false, "sudoers": false, "[[sudo]]": false} {
		c := userDataOf(t, "users:\n- {name: first, sudo: 'ALL=(ALL) ALL'}\n- name: bob\n  ssh_authorized_keys: [k]\n  groups: "+groups+"\n")
		if got := len(c.SSHAuthorizedKeys) > 0; got != want {
			t.Errorf("groups: %s: an administrator is %v, want %v", groups, got, want)
		}
	}
}

// A user who is not the login of the node brings neither keys nor a password.
func TestOthers(t *testing.T) {
	for text, want := range map[string]string{
		"users: [{name: bob, ssh_authorized_keys: [k], passwd: p, lock_passwd: false}]":                                                          `["k"] p`,
		"users: [{name: root, ssh_authorized_keys: [k], passwd: p, lock_passwd: false}]":                                                         `[] `,
		"ssh_authorized_keys: [a]\nusers: [default, {name: bob, ssh_authorized_keys: [k], passwd: p, lock_passwd: false}]":                       `["a"] `,
		"ssh_authorized_keys: [a]\nusers: [default, {name: bob, groups: [sudo], ssh_authorized_keys: [k]}]":                                      `["a" "k"] `,
		"users: [default, {name: bob, ssh_authorized_keys: [k]}]":                                                                                `["k"] `,
		"chpasswd: {users: [{name: root, password: pw1}]}":                                                                                       `[] `,
		"chpasswd: {users: [{name: root, password: pw1}, {name: pi, password: pw2}]}":                                                            `[] pw2`,
		"users: [{name: pi, sudo: 'ALL=(ALL) ALL'}, {name: eve}]\nchpasswd: {users: [{name: eve, password: pw1}, {name: pi, password: pw2}]}":    `[] pw2`,
		"chpasswd: {users: [{name: eve, password: pw1}]}\nusers: [{name: pi, passwd: pw0, lock_passwd: no, sudo: 'ALL=(ALL) ALL'}, {name: eve}]": `[] pw0`,
		"users: [{name: pi, sudo: 'ALL=(ALL) ALL', ssh_redirect_user: yes, ssh_authorized_keys: [k]}]":                                           `[] `,
		"users: [{name: pi, sudo: 'ALL=(ALL) ALL', ssh_redirect_user: maybe, ssh_authorized_keys: [k]}]":                                         `[] `,
		"users: [{name: pi, sudo: 'ALL=(ALL) ALL', ssh_redirect_user: false, ssh_authorized_keys: [k]}]":                                         `["k"] `,
		"users: [{name: pi, ssh_import_id: [lp:me, gh:you, we, 'xy:z', 'gh:']}]":                                                                 `["launchpad:me" "github:you" "launchpad:we"] `,
	} {
		c := userDataOf(t, text)
		if got := fmt.Sprintf("%q %s", c.SSHAuthorizedKeys, c.K3OS.Password); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}

// Every foreign true and false goes through one reader. A value that is neither never grants
// anything.
func TestForeignTruth(t *testing.T) {
	for key, read := range map[string]func(value string) bool{
		"lock_passwd": func(v string) bool {
			return userDataOf(t, "users:\n- name: a\n  passwd: p\n  lock_passwd: "+v+"\n").K3OS.Password == ""
		},
		"dhcp4": func(v string) bool {
			l, _ := Parse(NetworkConfigName, []byte("version: 2\nethernets:\n  eth0:\n    addresses: [10.0.0.2/24]\n    dhcp4: "+v+"\n"))
			c, _ := Merge(l)
			return c.Network.Interfaces[0].DHCP
		},
		"optional": func(v string) bool {
			l, _ := Parse(NetworkConfigName, []byte("version: 2\nethernets:\n  eth0:\n    addresses: [10.0.0.2/24]\n    optional: "+v+"\n"))
			c, _ := Merge(l)
			return c.Network.Interfaces[0].Optional
		},
		"hidden": func(v string) bool {
			l, _ := Parse(NetworkConfigName, []byte("version: 2\nwifis:\n  wlan0:\n    access-points:\n      home:\n        hidden: "+v+"\n"))
			c, _ := Merge(l)
			return c.Network.WiFi[0].Hidden
		},
		"ntp.enabled": func(v string) bool {
			return len(userDataOf(t, "ntp:\n  servers: [a]\n  enabled: "+v+"\n").Time.Servers) > 0
		},
	} {
		for _, v := range yamlFalse {
			if read(v) {
				t.Errorf("%s: %s is read as true", key, v)
			}
		}
		for _, v := range yamlTrue {
			if !read(v) {
				t.Errorf("%s: %s is read as false", key, v)
			}
		}
	}
	for _, v := range neither {
		if c := userDataOf(t, "users:\n- name: a\n  passwd: p\n  lock_passwd: "+v+"\n"); c.K3OS.Password != "" {
			t.Errorf("lock_passwd: %s opens the console: got %q, want %q", v, c.K3OS.Password, "")
		}
	}
	for _, v := range append(append([]string{}, yamlFalse...), "maybe", "[]") {
		if _, problems := Parse(UserDataName, []byte("ssh_pwauth: "+v)); strings.Contains(fmt.Sprint(problems), "sshd takes keys only") {
			t.Errorf("ssh_pwauth: %s is read as true", v)
		}
	}
}

func TestConnmanHidden(t *testing.T) {
	for v, want := range map[string]bool{"true": true, "True": true, "yes": true, "1": true, "false": false, "no": false, "": false, "x": false} {
		var n Connman
		n.Add("a.config", "[service_a]\nType = wifi\nName = home\nHidden = "+v+"\n")
		if len(n.WiFi) != 1 || n.WiFi[0].Hidden != want {
			t.Errorf("Hidden = %s: %+v, want %v", v, n.WiFi, want)
		}
	}
}

// What cloud-init's files say about the order of its own steps is no mistake.
func TestDeferredFiles(t *testing.T) {
	l, problems := Parse(UserDataName, []byte("write_files:\n- {path: /a, defer: true, content: b, owner: root}\n- {path: /c, content: d}\n"))
	c, _ := Merge(l)
	if len(c.WriteFiles) != 2 || c.WriteFiles[0].Content != "b" || c.WriteFiles[0].Owner != "root" || c.WriteFiles[1].Path != "/c" {
		t.Errorf("%+v", c.WriteFiles)
	}
	if worst, _ := Worst(Strict(problems)); len(problems) != 1 || worst != Note {
		t.Errorf("%v: got %v, want length 1 and %v", problems, worst, Note)
	}
}

// A key of a user that is not known, or that takes something from him, is reported; the others
// change nothing on a node with one login.
func TestKeysOfUsers(t *testing.T) {
	for key, want := range map[string]string{"ssh_authorised_keys: [k]": "no such key", "expiredate: '2020-01-01'": "not done here", "inactive: 5": "not done here", "doas: [permit]": "not done here",
		"shell: /bin/bash": "", "gecos: Me": "", "primary_group: me": "", "no-create-home: true": "", "uid: 1000": ""} {
		_, problems := Parse(UserDataName, []byte("users:\n- name: rancher\n  "+key+"\n"))
		if got := fmt.Sprint(problems); (want == "") != (len(problems) == 0) || !strings.Contains(got, want) {
			t.Errorf("%s: got %s, want %q", key, got, want)
		}
	}
}
