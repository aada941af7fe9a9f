package config

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// Each input holds the secret word geheim-42 and nothing else that must be blanked.
var blankCases = []string{
	"k3os:\n  token: geheim-42\n",
	"k3os: {token: geheim-42}",
	"k3os: {token: geheim-42, labels: {a: b}} # geheim",
	"k3os:\n  token: 'geheim-42'   # comment\n  server_url: https://s:6443\n",
	"k3os:\n  token: 'it''s geheim-42'\n",
	"k3os:\n  token: \"a \\\" \\\\ geheim-42\"\n",
	"k3os:\n  token: |\n    geheim-42\n    geheim-42\n  password: >-\n\n     geheim-42\n\nhostname: a\n",
	"k3os:\n  token:\n    geheim-42\n    geheim-42 and  more\nhostname: a\n",
	"k3os:\n  token: \"geheim-42\n    on two lines\"\n",
	"k3os:\r\n  token: geheim-42\r\n  password: |\r\n    geheim-42\r\nhostname: a\r\n",
	"\ufeffk3os: {token: geheim-42}\n",
	"k3os:\n  token: geheim-42\n  Token: other-geheim-42\n",
	"x: &t geheim-42\nk3os: {token: *t}\n",
	"k3os: {token: &t geheim-42, password: *t}\n",
	"k3os: {token: !!str geheim-42}\n",
	"k3os: {token: !!binary Z2VoZWltLTQy}\n",
	"k3os: {wifi: [{name: ä, pass: geheim-42}, {name: b, password: geheim-42}], environment: {K3S_TOKEN: geheim-42, A: b}}\n",
	"network: {wifi: {name: a, passphrase: geheim-42}}\n",
	"k3os:\n  token: geheim-42", // no line end
	"k3os: {\"token\": \"geheim-42\"}\n",
	"# é\nhostname: é\nk3os: {labels: {é: é}, token: geheim-42}\n",
	"k3os:\n  token: geheim-\u00e9\u00e942\n",
}

func TestBlank(t *testing.T) {
	for _, in := range blankCases {
		out, changed, err := Blank(Native, []byte(in))
		if err != nil || !changed {
			t.Errorf("%q: changed %v, %v", in, changed, err)
			continue
		}
		if len(out) != len(in) || bytes.Count(out, []byte("\n")) != strings.Count(in, "\n") {
			t.Errorf("%q has another length or other lines: %q", in, out)
		}
		for _, w := range []string{"geheim-", "42", "Z2V"} {
			if strings.Contains(string(out), w) {
				t.Errorf("%q is still in %q", w, out)
			}
		}
		again, changed, err := Blank(Native, out)
		if err != nil || changed || !bytes.Equal(again, out) {
			t.Errorf("blanking twice: %q, %v, %v", again, changed, err)
		}
		l, problems := Parse("f", out)
		for _, p := range problems {
			if p.Severity == Error {
				t.Errorf("%q: %v", out, p)
			}
		}
		if c, _ := Merge(l); c.K3OS.Token != "" || c.K3OS.Password != "" || c.K3OS.Environment["K3S_TOKEN"] != "" {
			t.Errorf("%q: a blanked value is taken for a secret", out)
		}
	}
}

// A text without a secret, or with one that was moved, is left alone.
func TestBlankNothing(t *testing.T) {
	for _, in := range []string{"", "hostname: a", "k3os: {token: }", "k3os: {token: ''}", "k3os: {token: xxxxxxxx}", "hello", "a: [", "k3os: {password: [a, b]}"} {
		out, changed, err := Blank(Native, []byte(in))
		if err != nil || changed || string(out) != in {
			t.Errorf("%q: %q, %v, %v", in, out, changed, err)
		}
	}
	for _, in := range []string{"hostname: &t geheim-42\nk3os: {token: *t}", "k3os: {token: abc}"} {
		if out, _, err := Blank(Native, []byte(in)); err == nil {
			t.Errorf("%q became %q, want an error", in, out)
		}
	}
}

func TestImport(t *testing.T) {
	salt := []byte("0123456789abcdef")
	first := "# my node\nhostname: a\nk3os:\n  token: geheim-42 # from the server\n  password: opensesame\n  wifi:\n  - {name: home, pass: home-pass}\n  - {name: work, pass: work-pass}\n"
	in, err := Import("config.yaml", []byte(first), nil, salt)
	if err != nil {
		t.Fatal(err)
	}
	c, _ := Merge(in.Layer)
	if c.K3OS.Token != "geheim-42" || c.K3OS.Password != HashPassword("opensesame", salt) || !strings.Contains(string(in.Keep), "# from the server") {
		t.Errorf("kept %q", in.Keep)
	}
	if strings.Contains(string(in.Keep), "opensesame") || strings.Contains(string(in.Blanked), "pass}") || len(in.Blanked) != len(first) {
		t.Errorf("a secret is left in %q or %q", in.Keep, in.Blanked)
	}
	// The user edits the blanked file: another host name, a network in front, the order changed, a
	// new token.
	second := strings.NewReplacer("hostname: a", "hostname: b", "  wifi:\n", "  wifi:\n  - {name: new, pass: new-pass}\n").Replace(string(in.Blanked))
	in, err = Import("config.yaml", []byte(second), in.Keep, salt)
	if err != nil {
		t.Fatal(err)
	}
	c, problems := Merge(in.Layer)
	if c.Hostname != "b" || c.K3OS.Token != "geheim-42" || c.K3OS.Password != HashPassword("opensesame", salt) || len(problems) > 0 {
		t.Errorf("kept %q with %v", in.Keep, problems)
	}
	for i, want := range []string{"new-pass", "home-pass", "work-pass"} {
		if got := c.K3OS.WiFi[i].Passphrase; got != want {
			t.Errorf("network %d has %q, want %q", i, got, want)
		}
	}
	// Without the kept file the value is gone, and that is reported.
	in, err = Import("config.yaml", []byte(second), nil, salt)
	if err != nil {
		t.Fatal(err)
	}
	if c, problems := Merge(in.Layer); c.K3OS.Token != "" || len(problems) != 4 || !strings.Contains(problems[0].String(), "was moved to the node's data") {
		t.Errorf("token %q, %v", c.K3OS.Token, problems)
	}
	if _, err := Import("config.yaml", []byte("a: ["), nil, salt); err == nil {
		t.Error("a file that is not YAML is imported")
	}
}

// Passwords in the address of a proxy and variables of services are taken off BOOT, and come back
// from what the node kept.
func TestBlankAddresses(t *testing.T) {
	const text = "k3os:\n  environment:\n    HTTPS_PROXY: http://me:hunter2zz@proxy:3128\n    http_proxy: 'me:hunter2zz@proxy:3128'\n    NO_PROXY: 10.0.0.0/8\n    K3S_DATASTORE_ENDPOINT: postgres://k3s:hunter2zz@db/k3s\n    FTP_PROXY: http://proxy:3128\nservices:\n  a: {command: [/bin/true], environment: {API_KEY: hunter2zz, LANG: C.UTF-8}}\n"
	first, err := Import("config.yaml", []byte(text), nil, make([]byte, 16))
	if err != nil || strings.Contains(string(first.Blanked), "hunter2") || !strings.Contains(string(first.Blanked), "http://proxy:3128") || !strings.Contains(string(first.Blanked), "C.UTF-8") {
		t.Fatalf("%v\n%s", err, first.Blanked)
	}
	again, err := Import("config.yaml", first.Blanked, first.Keep, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := Merge(first.Layer)
	b, problems := Merge(again.Layer)
	if fmt.Sprint(a.K3OS.Environment, a.Services["a"].Environment) != fmt.Sprint(b.K3OS.Environment, b.Services["a"].Environment) || len(problems) > 0 || b.Services["a"].Environment["API_KEY"] != "hunter2zz" {
		t.Errorf("%v: %v and %v", problems, a.K3OS.Environment, b.K3OS.Environment)
	}
}
