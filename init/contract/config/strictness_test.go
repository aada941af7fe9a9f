package config

import (
	"fmt"
	"strings"
	"testing"
)

// A setting that the node would not apply, or k3s not start with, is an error of the check.
func TestAsStrictAsTheNode(t *testing.T) {
	for in, want := range map[string]string{
		"k3os: {k3s_args: [server, '--bind-address 10.0.0.1']}":                                                     "would not start",
		"k3os: {k3s_args: [server, '--node-label=node-role.kubernetes.io/x=y']}":                                    "would not start with it",
		"k3os: {k3s_args: [server, --node-label, 'node-role.kubernetes.io/x=y']}":                                   "would not start with it",
		"k3os: {k3s_args: [server, --node-taint, 'a=b:Never']}":                                                     "would not start with it",
		"k3os: {k3s_args: [server, --node-label, 'a=b', --node-taint=a=b:NoSchedule]}":                              "",
		"write_files: [{path: /etc/rancher/k3s/config.yaml, content: 'node-label: [node-role.kubernetes.io/x=y]'}]": "would not start with it",
		"write_files: [{path: /etc/rancher/k3s/config.yaml.d/a.yaml, content: 'node-taint+: [\"a=b:x\"]'}]":         "would not start with it",
		"write_files: [{path: /etc/rancher/k3s/config.yaml, content: 'not a map'}]":                                 "would not start with it",
		"write_files: [{path: /etc/rancher/k3s/config.yaml, content: '{node-label: [a=b], tls-san: [x]}'}]":         "",
		"run_cmd: ['connmanctl services']":                                                                          "no connmanctl",
		"boot_cmd: ['sudo rc-update add x default']":                                                                "no rc-update",
		"boot_cmd: ['/etc/init.d/sshd restart']":                                                                    "no /etc/init.d",
		"run_cmd: ['connmanctl services || true', 'echo connmanctl']":                                               "",
		"run_cmd: ['cd /tmp && sudo -n /sbin/rc-update add x']":                                                     "no rc-update",
		"run_cmd: ['if true; then service x start; fi']":                                                            "no service",
		"run_cmd: ['service x start; echo done']":                                                                   "",
		"run_cmd: [\"echo a\\nsudo rc-service x start\\n\"]":                                                        "no rc-service",
		"boot_cmd: [\"sh -c 'apt-get update'\"]":                                                                    "no apt-get",
		"run_cmd: [\"cat > /x <<E\\nservice a\\nE\\n\"]":                                                            "",
		"k3os: {k3s_args: [server, '--node-label=a=b,c=d', '--node-taint=a=b:NoSchedule,c:NoExecute']}":             "",
		"k3os: {k3s_args: [server, '--node-label=a=b,node-role.kubernetes.io/x=y']}":                                "would not start with it",
		"k3os: {k3s_args: [server, '--kubelet-arg=node-labels=node-role.kubernetes.io/x=y']}":                       "would not start with it",
		"k3os: {k3s_args: [server, --kubelet-arg, 'register-with-taints=a=b:x']}":                                   "would not start with it",
		"k3os: {k3s_args: [server, '--kubelet-arg=max-pods=50']}":                                                   "",
		"services: {a: {command: [x], ready: {tcp: nonsense}}}":                                                     "not an address and a port",
		"services: {a: {command: [x], ready: {tcp: '127.0.0.1:99999'}}}":                                            "not an address and a port",
		"services: {a: {command: [x], ready: {tcp: ':8080'}}}":                                                      "",
		"services: {a: {command: [x], ready: {file: run/x}}}":                                                       "not an absolute path",
		"services: {a: {command: [x], directory: rel}}":                                                             "not an absolute path",
		"services: {a: {command: [x], environment: {'A=B': c}}}":                                                    "cannot be passed",
		"services: {a: {command: [x], environment: {A: \"b\\0c\"}}}":                                                "cannot be passed",
		"monitoring: {listen: 'foo:bar:baz'}":                                                                       "not an address to listen on",
		"monitoring: {listen: '0'}":                                                                                 "not an address to listen on",
		"monitoring: {listen: 'eth0:9100'}":                                                                         "",
		"monitoring: {listen: 'fd00::1'}":                                                                           "",
		"k3os: {environment: {A: \"b\\rc\"}}":                                                                       "more than one line",
		"write_files: [{path: /etc/resolv.conf, content: x}]":                                                       "left out",
		"write_files: [{path: /etc/../etc/localtime, content: x}]":                                                  "left out",
		"write_files: [{path: /etc/hosts, content: 10.0.0.1 nas}]":                                                  "",
		"write_files: [{path: /a, source: {uri: 'https://x'}}]":                                                     "left out",
		"write_files: [{path: /a, content: x, encoding: text/plain, append: yes}]":                                  "",
		"time: {zone: Europe/Atlantis}":                                                                             "not the name of a time zone",
		"time: {zone: ../..}":                                                                                       "not the name of a time zone",
		"time: {zone: US/Eastern}":                                                                                  "",
		"time: {zone: Asia/Calcutta}":                                                                               "",
		"time: {zone: EST5EDT}":                                                                                     "",
	} {
		l, problems := Parse("f.yaml", []byte(in))
		c, more := Merge(l)
		got := ""
		for _, p := range append(append(problems, more...), Check(c, Facts{Role: "server"})...) {
			if p.Severity == Error {
				got += p.String() + "\n"
			}
		}
		if want == "" && got != "" || want != "" && !strings.Contains(got, want) {
			t.Errorf("%s\n%s, want %q", in, got, want)
		}
	}
}

// One line that calls what is not there does not cost the other lines of a command.
func TestCommandOfSeveralLines(t *testing.T) {
	c := userDataOf(t, "runcmd:\n- |\n  systemctl enable x\n  echo kept\n- systemctl enable y\n- echo also\n")
	if got := fmt.Sprint(c.RunCmd); len(c.RunCmd) != 2 || !strings.Contains(got, "echo kept") || !strings.Contains(got, "echo also") {
		t.Errorf("%q", c.RunCmd)
	}
}
