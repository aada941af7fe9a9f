package config

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"
)

// compiled is the schema as another program understands it; that it compiles means that it is valid
// under its own meta-schema.
func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("shelfos.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("shelfos.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// asJSON is what an editor sees of YAML.
func asJSON(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name := range v {
			v[name] = asJSON(v[name])
		}
	case map[any]any:
		out := map[string]any{}
		for name := range v {
			out[fmt.Sprint(name)] = asJSON(v[name])
		}
		return out
	case []any:
		for i := range v {
			v[i] = asJSON(v[i])
		}
	case time.Time:
		return v.Format(time.DateOnly)
	}
	return v
}

// The schema takes what is read without a note, in every example there is, and refuses the values
// that cannot be used.
func TestSchemaAgreesWithParser(t *testing.T) {
	s := compiled(t)
	accepts := func(text string) error {
		var v any
		if err := yaml.Unmarshal([]byte(text), &v); err != nil {
			return err
		}
		return s.Validate(asJSON(v))
	}
	good := map[string]string{"everything": exampleText(), "nothing": "{}\n", "nulls": "hostname:\nk3os:\nservices: {a: }\nnetwork: {interfaces: }\n",
		"one text": "ssh_authorized_keys: a\nk3os: {dns_nameservers: 1.1.1.1}\nrun_cmd: echo\n", "words": "network: {interfaces: [{dhcp: yes, optional: 'on', mtu: '1500'}]}\nmonitoring: {enabled: 1}\n",
		"scalars": "hostname: 123\nwrite_files: [{path: /a, content: 5, permissions: 0644}, {path: /b, permissions: '0o600'}]\nk3os: {labels: {a: 1, b: true, c: }}\ntime: {wait: 90, zone: UTC}\nservices: {a: {memory: 64 MiB, stop_timeout: 1m30s}}\n"}
	names, _ := filepath.Glob("../../../docs/examples/*.yaml")
	services, _ := filepath.Glob("../../../docs/examples/storage/*.yaml")
	more, _ := filepath.Glob("testdata/problems/*.yaml")
	for _, name := range slices.Concat(names, services, more) {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		good[name] = string(data)
	}
	taken := 0
	for name, text := range good {
		l, problems := Parse("f.yaml", []byte(text))
		if len(problems) > 0 {
			if strings.Contains(name, "problems/") {
				continue // what they are for
			}
			t.Errorf("%s: %v", name, problems)
		}
		if strings.Contains(name, "picl-worker") || strings.Contains(name, "k3os-") || strings.Contains(name, "homelab") { // other spellings are the node's to read
			text = canonicalText(t, l)
		}
		taken++
		if err := accepts(text); err != nil {
			t.Errorf("%s: the parser reports no problem, the schema: %v\n%s", name, err, text)
		}
	}
	if taken < 15 {
		t.Errorf("only %d texts", taken)
	}
	for _, text := range []string{
		"hostnme: a", "hostname: [a, b]", "hostname: {a: b}", "ssh_authorized_keys: {a: b}", "run_cmd: [[a]]", "run_cmd: [{echo b: c}]", "write_files: [x]", "write_files: x",
		"write_files: [{path: /a, permissions: rw}]", "write_files: [{path: /a, defer: true}]", "write_files: [{path: /a, encoding: rot13}]", "k3os: {token: {a: b}}", "k3os: {labels: [a]}",
		"k3os: {sysctls: {a.b: [1]}}", "k3os: {wifi: text}", "k3os: {install: {silent: maybe}}", "k3os: {env: {A: b}}", "k3os: text", "network: {interfaces: [{mtu: big}]}", "network: {interfaces: [{mac: zz}]}",
		"network: {interfaces: [{addres: [10.0.0.1/8]}]}", "network: {vlans: [{id: 2.5}]}", "services: {a: [b]}", "services: {a: {memory: lots}}", "services: {a: {backoff: soon}}", "services: {a: {restart: sometimes}}",
		"monitoring: {enabled: perhaps}", "monitoring: {enabled: [true]}", "time: {wait: soon}", "backup: {keep: many}", "shelf: {role: workr}", "storage: [a]", "hello", "[a]",
	} {
		if _, problems := Parse("f.yaml", []byte(text)); len(problems) == 0 {
			t.Errorf("%s: the parser reports no problem", text)
		}
		if err := accepts(text); err == nil {
			t.Errorf("%s: the schema reports no problem", text)
		}
	}
}

// canonicalText writes what was read with the names of the table.
func canonicalText(t *testing.T, l *Layer) string {
	t.Helper()
	text, err := yaml.Marshal(l.root.free())
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
