package cluster

import (
	"bytes"
	"os"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"
)

// The schema, as another program reads it, takes the example and refuses what is not a key.
func TestSchema(t *testing.T) {
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("cluster.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("cluster.json")
	if err != nil {
		t.Fatal(err)
	}
	judge := func(text string) error {
		var v any
		if err := yaml.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		return s.Validate(v)
	}
	example, err := os.ReadFile("testdata/cluster.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := judge(string(example)); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"nodes: {}", "nodes: {One: {board: rpi4}}", "nodes: {a: {board: rpi9}}", "nodes: {a: {adress: 1}}", "nodes: {a: {config: {hostnam: b}}}", "defaults: {address: 10.0.0.1/24}\nnodes: {a: {}}", "nods: {a: {}}"} {
		if judge(bad) == nil {
			t.Errorf("%s is valid", bad)
		}
	}
}
