package config

import (
	"fmt"
	"strings"
	"testing"
)

// What is wrong with a confined service is reported with its key; an empty section confines too.
func TestConfined(t *testing.T) {
	for name, c := range map[string]struct {
		text, key string
		is        bool
	}{
		"good":              {"user: ann\n    confined: {read: [/srv/a], write: [/srv/b], wireguard: /var/lib/x.conf, publish: {'8080': 10.0.0.0/8}}", "", true},
		"empty":             {"user: ann\n    confined: {}", "", true},
		"not confined":      {"user: ann", "", false},
		"root":              {"confined: {read: [/srv/a]}", "services.x.user", true},
		"all of it":         {"user: ann\n    confined: {write: [/]}", "services.x.confined.write", true},
		"of the kernel":     {"user: ann\n    confined: {read: [/proc/1]}", "services.x.confined.read", true},
		"relative":          {"user: ann\n    confined: {read: [srv]}", "services.x.confined.read", true},
		"no file":           {"user: ann\n    confined: {wireguard: x.conf}", "services.x.confined.wireguard", true},
		"a port":            {"user: ann\n    confined: {publish: {'70000': 10.0.0.0/8}}", "services.x.confined.publish", true},
		"a network":         {"user: ann\n    confined: {publish: {'80': home}}", "services.x.confined.publish", true},
		"reports by itself": {"user: ann\n    ready: {notify: true}\n    confined: {}", "services.x.ready.notify", true},
	} {
		layer, parsed := Parse("c.yaml", []byte("services:\n  x:\n    command: [/usr/bin/x]\n    "+c.text+"\n"))
		cfg, merged := Merge(layer)
		var keys []string
		for _, p := range append(append(parsed, merged...), Check(cfg, Facts{})...) {
			if p.Severity != Note && strings.HasPrefix(p.Key, "services") {
				keys = append(keys, p.Key)
			}
		}
		if got := strings.Join(keys, " "); got != c.key {
			t.Errorf("%s: got problems with %q, want %q", name, got, c.key)
		}
		if got := cfg.Services["x"].Confined.Is(); got != c.is {
			t.Errorf("%s: confined: got %v, want %v", name, got, c.is)
		}
	}
}

func TestInsidePath(t *testing.T) {
	for p, ok := range map[string]bool{
		"/srv/data": true, "/usr/share": true, "/var/lib/x": true, "/etc/x": true, "relative": false, "/srv/../etc": false, "/srv/": false,
		"/": false, "/etc": false, "/proc/1": false, "/sys/x": false, "/dev/sda": false, "": false, "/a\x00b": false,
	} {
		if why := InsidePath(p); (why == "") != ok {
			t.Errorf("%q: got %q, want accepted: %v", p, why, ok)
		}
	}
}

func TestPublished(t *testing.T) {
	list, bad := Confined{Publish: map[string]string{"8080": "192.168.1.7/24", "80": "fd00::/64"}}.Ports()
	if got := fmt.Sprint(list); got != "[{80 fd00::/64} {8080 192.168.1.0/24}]" || bad != "" {
		t.Errorf("got %s, %q", got, bad)
	}
	for port, from := range map[string]string{"0": "10.0.0.0/8", "x": "10.0.0.0/8", "80": "10.0.0.1"} {
		if list, bad := (Confined{Publish: map[string]string{port: from}}).Ports(); bad != port {
			t.Errorf("%s: %s: got %v", port, from, list)
		}
	}
}
