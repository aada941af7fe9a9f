// Package guests gives the nodes of one `imgbuild run` their names, their static addresses in the
// network between them, and their configurations.
package guests

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"

	"gopkg.in/yaml.v3"

	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/yamltext"
)

// Most is how many nodes one run has at most.
const Most = 16

// outside is a node's card on QEMU's user network, which is the same in every guest.
const outside = "52:54:00:12:34:56"

// card is what a node calls its card in the network between the nodes: the second one.
const card = "eth1"

// Node is one guest.
type Node struct {
	Name    string
	Role    string
	MAC     string // of its card in the network between the nodes
	Address string // there, without the length of the prefix
}

// Plan is what the nodes are made from.
type Plan struct {
	Role  string // of the first node; those after a server are workers that join it
	Count int
	K3s   bool   // the role runs k3s
	Token string // of k3s, where Base has none and a server is among the nodes
	Name  string // of the file of Base, for messages
	Base  []byte // cloud-config that all of them have; nil for none
}

// Nodes are the nodes of the plan, the server first. The error of a configuration that cannot be
// given to several nodes is of kind Input.
func (p Plan) Nodes() ([]Node, error) {
	base, err := p.read()
	if err != nil {
		return nil, err
	}
	var list []Node
	for i := 1; i <= p.Count; i++ {
		n := Node{Name: fmt.Sprintf("node%d", i), Role: p.Role, MAC: fmt.Sprintf("52:54:00:00:77:%02x", i), Address: fmt.Sprintf("10.77.0.%d", i)}
		if base.Hostname != "" {
			n.Name = fmt.Sprintf("%s-%d", base.Hostname, i)
		}
		if i > 1 && p.Role == "server" {
			n.Role = "worker"
		}
		list = append(list, n)
	}
	return list, nil
}

// read reads what all nodes have.
func (p Plan) read() (*config.Config, error) {
	layer, _ := config.Parse(p.Name, p.Base)
	c, _ := config.Merge(layer)
	refuse := func(key, why string) error {
		return fault.New(fault.Input, "leave it out of the file, or run the nodes one by one", "%s has %s: with nodes=%d %s", p.Name, key, p.Count, why)
	}
	switch {
	case layer.Has("network"):
		return nil, refuse("network:", "run gives each node its address")
	case p.Role == "server" && c.K3OS.ServerURL != "":
		return nil, refuse("k3os.server_url", "the first node is the server")
	}
	return c, nil
}

// Config is the configuration of a node: what all of them have, and what is the node's own.
func (p Plan) Config(n Node) ([]byte, error) {
	base, err := p.read()
	if err != nil {
		return nil, err
	}
	own := map[string]any{"hostname": n.Name, "network": map[string]any{"interfaces": []any{
		map[string]any{"mac": outside, "dhcp": true},
		map[string]any{"mac": n.MAC, "addresses": []string{n.Address + "/24"}},
	}}}
	if p.K3s {
		// Every node has the same address in QEMU's user network, so k3s gets the one to use.
		k3s := map[string]any{"k3s_args": append([]string{"--node-ip=" + n.Address, "--flannel-iface=" + card}, base.K3sArguments()...)}
		if p.Role == "server" {
			k3s["token"] = cmp.Or(base.K3OS.Token, p.Token)
		}
		if p.Role == "server" && n.Role == "worker" {
			k3s["server_url"] = "https://10.77.0.1:6443"
		}
		own["k3os"] = k3s
	}
	var root yaml.Node
	if err := yaml.Unmarshal(p.Base, &root); err != nil {
		return nil, fault.Wrap(err, fault.Input, "correct it", "%s", p.Name)
	}
	top := &yaml.Node{Kind: yaml.MappingNode}
	if len(root.Content) > 0 {
		top = root.Content[0]
	}
	if top.Kind != yaml.MappingNode {
		return nil, fault.New(fault.Input, "write keys and values", "%s is not a configuration", p.Name)
	}
	for _, key := range []string{"hostname", "network", "k3os"} {
		if own[key] == nil {
			continue
		}
		if err := set(top, key, own[key]); err != nil {
			return nil, err
		}
	}
	return yamltext.Marshal(top)
}

// Write writes the configuration of a node into a file in dir, for its owner alone, and returns the
// file's name.
func (p Plan) Write(n Node, dir string) (string, error) {
	text, err := p.Config(n)
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, n.Name+".yaml")
	return file, fault.Wrap(os.WriteFile(file, text, 0o600), fault.Device, "", "writing the configuration of %s", n.Name)
}

// set sets a key of a mapping; of a mapping in it, the keys that value has.
func set(m *yaml.Node, key string, value any) error {
	var at *yaml.Node
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			at = m.Content[i+1]
		}
	}
	if keys, ok := value.(map[string]any); ok && at != nil && at.Kind == yaml.MappingNode {
		for _, k := range []string{"token", "server_url", "k3s_args"} {
			if keys[k] == nil {
				continue
			}
			if err := set(at, k, keys[k]); err != nil {
				return err
			}
		}
		return nil
	}
	n, err := yamltext.Node(value)
	if err != nil {
		return err
	}
	if at != nil {
		*at = *n
		return nil
	}
	m.Content = append(m.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: key}, n)
	return nil
}
