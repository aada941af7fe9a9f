package cluster

import (
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"imgbuild/init/contract/config"
	"imgbuild/init/contract/mask"
)

// marker is in cluster.yaml where cluster.secrets.yaml has the value. In quotes it is a word
// like any other.
const marker = "secret"

func isMarker(v *value) bool {
	return v.kind == yaml.ScalarNode && v.node.Value == marker && v.node.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) == 0
}

// isSecret reports whether what is at a key must not be in Git in clear.
func isSecret(k *config.Key, name string) bool {
	return k.Secret || k.Type == config.TextMap && mask.Name(name)
}

// markable reports whether a key below or at k may be marked. In a free form the word is marked
// only where the key's name is that of a secret.
func markable(k *config.Key, name string) bool { return k.Type != config.Free || mask.Name(name) }

// secretsInto looks for secrets in clear, fills in those that are marked, and adds those that every
// node has.
func (r *reader) secretsInto(c *Cluster) {
	for _, n := range c.Nodes {
		r.clear(n.tree, config.Root(), "", "")
	}
	if r.failed() {
		return
	}
	if r.secrets != nil && !r.secrets.Sealed() {
		r.secrets.known(r, c)
		for _, n := range c.Nodes {
			r.fill(n.tree, forRole(r.secrets.shared, config.Root(), n.Role), config.Root(), "defaults", false)
			r.fill(n.tree, forRole(r.secrets.node(n.Name), config.Root(), n.Role), config.Root(), "nodes."+n.Name+".config", true)
		}
	}
	for _, n := range c.Nodes {
		r.missing(n, n.tree, config.Root(), "", "")
		if r.secrets.Sealed() && n.K3s() && n.tree.get("k3os", "token") == nil {
			r.seal(n.tree, place{file: r.file, line: -1})
		}
	}
}

// seal puts a token in the place of the one that is not known.
func (r *reader) seal(tree *value, at place) {
	r.sealed[at] = true
	tree.set(newText(at, unknownSecret), "k3os", "token")
}

// unknownSecret is in the place of a secret that is sealed while the rest is looked at.
const unknownSecret = "not-known-here"

// clear reports secrets that are written out.
func (r *reader) clear(v *value, k *config.Key, path, name string) {
	switch {
	case v.kind == yaml.ScalarNode && !v.isNull() && isSecret(k, name) && !isMarker(v) && v.text() != "":
		r.fail(v.at, path, "write the word "+marker+" here, and the value into "+SecretsFile, "a secret is in clear")
	case v.kind == yaml.ScalarNode && k.Type != config.Free && !isMarker(v) && len(mask.Secrets(v.text())) > 0 && !strings.HasPrefix(k.Path, "write_files"):
		r.fail(v.at, path, "write the word "+marker+" here, and the whole value into "+SecretsFile, "a secret is in clear in this text")
	}
	r.walk(v, k, path, r.clear)
}

// walk calls visit for what is directly in a value.
func (r *reader) walk(v *value, k *config.Key, path string, visit func(v *value, k *config.Key, path, name string)) {
	for _, e := range v.keys {
		visit(e.v, below(k, e.name), strings.TrimPrefix(path+"."+e.name, "."), e.name)
	}
	for i, item := range v.items {
		visit(item, below(k, ""), fmt.Sprintf("%s[%d]", path, i), "")
	}
}

// below is the key of an entry or item of k; k itself in a free form and in a list of texts.
func below(k *config.Key, name string) *config.Key {
	switch k.Type {
	case config.Section:
		if child := k.Child(name); child != nil {
			return child
		}
	case config.Named, config.Items:
		return k.Item()
	}
	return k
}

// fill puts the values of the secrets file in their places. strict reports what has no place: in
// the part of all nodes a value need not have one on each.
func (r *reader) fill(tree, secrets *value, k *config.Key, path string, strict bool) {
	if secrets == nil {
		return
	}
	for _, e := range secrets.keys {
		here, child := path+"."+e.name, below(k, e.name)
		old := tree.entry(e.name)
		switch {
		case e.v.isNull():
		case old == nil && onlySecrets(e.v, child, e.name):
			if tree.kind == yaml.MappingNode {
				tree.keys = append(tree.keys, entry{e.name, e.at, e.v.clone()})
			}
		case old == nil:
			r.noPlace(e.at, here, strict)
		case e.v.kind == yaml.ScalarNode || child.Type == config.Texts:
			if isMarker(old.v) || isSecret(child, e.name) {
				*old = entry{e.name, e.at, e.v.clone()}
			} else {
				r.noPlace(e.at, here, strict)
			}
		case old.v.kind != e.v.kind:
			r.noPlace(e.at, here, strict)
		case e.v.kind == yaml.SequenceNode:
			r.fillList(old.v, e.v, child, here, strict)
		default:
			r.fill(old.v, e.v, child, here, strict)
		}
	}
}

func (r *reader) fillList(tree, secrets *value, k *config.Key, path string, strict bool) {
	for _, item := range secrets.items {
		i := index(tree.items, item.name())
		if item.name() == "" || i < 0 {
			r.noPlace(item.at, path, strict)
			continue
		}
		without := *item
		without.keys = slices.DeleteFunc(slices.Clone(item.keys), func(e entry) bool { return e.name == "name" })
		r.fill(tree.items[i], &without, below(k, ""), fmt.Sprintf("%s[%d]", path, i), strict)
	}
}

// noPlace reports a value that nothing in the other file asks for.
func (r *reader) noPlace(at place, path string, strict bool) {
	if strict {
		r.fail(at, path, "write it there, with the word "+marker+" as its value, or remove it here", "%s does not have this", r.file)
	}
}

// onlySecrets reports whether all values in a map are secrets by their keys.
func onlySecrets(v *value, k *config.Key, name string) bool {
	if v.kind != yaml.MappingNode || k.Type == config.Free {
		return isSecret(k, name)
	}
	for _, e := range v.keys {
		if !onlySecrets(e.v, below(k, e.name), e.name) {
			return false
		}
	}
	return len(v.keys) > 0
}

// missing reports what is marked and has no value. Where the secrets are sealed a text stands for
// it.
func (r *reader) missing(n *Node, v *value, k *config.Key, path, name string) {
	if isMarker(v) && markable(k, name) {
		if r.secrets.Sealed() {
			r.sealed[v.at] = true
			v.node = newText(v.at, unknownSecret).node
			return
		}
		fix := "write it into " + SecretsFile + " in the same place, below nodes: " + n.Name + ": config: or defaults:"
		if r.secrets == nil {
			fix = "run `imgbuild new cluster`, which makes " + SecretsFile + ", and write it there in the same place"
		}
		r.fail(v.at, path, fix, "%s needs this secret, and it is not in %s", n.Name, SecretsFile)
		return
	}
	r.walk(v, k, path, func(v *value, k *config.Key, path, name string) { r.missing(n, v, k, path, name) })
}
