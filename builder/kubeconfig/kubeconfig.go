// Package kubeconfig makes the access file that a k3s server writes for itself usable elsewhere: it
// takes the fields that it knows and merges them into the user's file (kubernetes.io, "Organizing
// Cluster Access Using kubeconfig Files"), the rest of which stays.
package kubeconfig

import (
	"bytes"
	"errors"
	"fmt"

	"gopkg.in/yaml.v3"

	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/yamltext"
)

// lists are the parts that have named entries.
var lists = []string{"clusters", "contexts", "users"}

// Merge puts the entries of one file over those of another, by name, and keeps the rest of it. The
// new current context counts. An empty file is as good as none.
func Merge(old, fresh []byte) ([]byte, error) {
	from, err := parse(fresh)
	if err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(old)) == 0 {
		return fresh, nil
	}
	into, err := parse(old)
	if err != nil {
		return nil, err
	}
	for _, list := range lists {
		items := get(into, list)
		if items == nil || items.Kind != yaml.SequenceNode {
			items = &yaml.Node{Kind: yaml.SequenceNode}
			put(into, list, items)
		}
		if src := get(from, list); src != nil {
			for _, item := range src.Content {
				replace(items, item)
			}
		}
		items.Style = 0
	}
	if c := get(from, "current-context"); c != nil {
		set(into, "current-context", c.Value)
	}
	return encode(into)
}

// replace puts item in the place of the one of its name, or at the end.
func replace(items, item *yaml.Node) {
	for i, o := range items.Content {
		if a, b := get(o, "name"), get(item, "name"); a != nil && b != nil && a.Value == b.Value {
			items.Content[i] = item
			return
		}
	}
	items.Content = append(items.Content, item)
}

func parse(data []byte) (*yaml.Node, error) {
	var doc yaml.Node
	err := yaml.Unmarshal(data, &doc)
	if err == nil && (len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode) {
		err = errors.New("it is not a map")
	}
	if err == nil {
		if k := get(doc.Content[0], "kind"); k == nil || k.Value != "Config" {
			err = errors.New("its kind is not Config")
		}
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.Input, "give another file with out=", "this is not a kubeconfig")
	}
	return doc.Content[0], nil
}

// get returns the value of a key; nil if n is not a map or has none.
func get(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

func set(n *yaml.Node, key, value string) {
	put(n, key, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: value})
}

func put(n *yaml.Node, key string, value *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			n.Content[i+1] = value
			return
		}
	}
	n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: key}, value)
}

func encode(n *yaml.Node) ([]byte, error) {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	safe, err := yamltext.Node(n)
	if err == nil {
		err = e.Encode(safe)
	}
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	return b.Bytes(), e.Close()
}
