// Package support takes secrets out of what leaves a node, and puts together what somebody who
// helps needs to see.
package support

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"

	"imgbuild/init/contract/config"
	"imgbuild/init/contract/mask"
	"imgbuild/init/contract/yamltext"

	"gopkg.in/yaml.v3"
)

// Masked returns a configuration as YAML without its secrets: values of secret keys, environments,
// what looks like a secret by its name in the values of add-ons, Secrets among their objects,
// tokens in arguments, passwords in URLs, and the content of files.
func Masked(c *config.Config) (*yaml.Node, error) {
	n, err := yamltext.Node(c)
	if err != nil {
		return nil, err
	}
	newHider().hide(n, "")
	return n, nil
}

// OfRole takes out of a configuration what is only there by default and means nothing to the node's
// role, such as backup.keep on a worker. Values that a person wrote stay.
func OfRole(n *yaml.Node, role string) {
	if n.Kind == yaml.DocumentNode && len(n.Content) == 1 {
		n = n.Content[0]
	}
	for _, k := range config.Table() {
		if k.Default == "" || k.Roles == nil || slices.Contains(k.Roles, role) {
			continue
		}
		drop(n, strings.Split(k.Path, "."), k.Default)
	}
}

// drop takes out the value at a path if it is this one, and the sections that are empty then.
func drop(n *yaml.Node, path []string, value string) {
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value != path[0] {
			continue
		}
		v := n.Content[i+1]
		if len(path) > 1 {
			if drop(v, path[1:], value); v.Kind != yaml.MappingNode || len(v.Content) > 0 {
				return
			}
		} else if v.Kind != yaml.ScalarNode || v.Value != value {
			return
		}
		n.Content = slices.Delete(n.Content, i, i+2)
		return
	}
}

// hider masks secrets and remembers what they were.
type hider struct {
	secret map[string]bool // paths of the key table whose values are secrets
	found  []string
}

func newHider() *hider {
	h := &hider{secret: map[string]bool{}}
	for _, k := range config.Table() {
		if k.Secret {
			h.secret[k.Path] = true
		}
	}
	return h
}

// value masks one value.
func (h *hider) value(n *yaml.Node) {
	if n.Value != mask.Stars {
		h.found = append(h.found, n.Value)
		n.SetString(mask.Stars)
	}
}

// all masks every value below a node.
func (h *hider) all(n *yaml.Node) {
	switch n.Kind {
	case yaml.ScalarNode:
		if n.Value != "" {
			h.value(n)
		}
	case yaml.MappingNode:
		for i := 1; i < len(n.Content); i += 2 {
			h.all(n.Content[i])
		}
	default:
		for _, c := range n.Content {
			h.all(c)
		}
	}
}

// bare takes the comments out: their content is unknown.
func bare(n *yaml.Node) {
	n.HeadComment, n.LineComment, n.FootComment = "", "", ""
	for _, c := range n.Content {
		bare(c)
	}
}

// objects masks Kubernetes objects, YAML documents in one text: all that a Secret holds, and
// elsewhere what looks like one.
func (h *hider) objects(text string) string {
	var out strings.Builder
	for d := yaml.NewDecoder(strings.NewReader(text)); ; {
		var n yaml.Node
		err := d.Decode(&n)
		if errors.Is(err, io.EOF) {
			return out.String()
		}
		if err != nil || len(n.Content) != 1 {
			return fmt.Sprintf("%s (%d bytes)", mask.Stars, len(text))
		}
		bare(&n)
		if object := n.Content[0]; object.Kind == yaml.MappingNode {
			isSecret := false
			for i := 0; i+1 < len(object.Content); i += 2 {
				isSecret = isSecret || object.Content[i].Value == "kind" && strings.HasSuffix(object.Content[i+1].Value, "Secret")
			}
			for i := 0; isSecret && i+1 < len(object.Content); i += 2 {
				if name := object.Content[i].Value; name != "apiVersion" && name != "kind" && name != "metadata" && name != "type" {
					h.all(object.Content[i+1])
				}
			}
		}
		h.hide(&n, "addons.objects")
		one, err := yamltext.Marshal(&n)
		if err != nil {
			return mask.Stars
		}
		if out.Len() > 0 {
			out.WriteString("---\n")
		}
		out.Write(one)
	}
}

// hide masks below one node. path is that of the key table, without items; names of maps are in it
// as they are.
func (h *hider) hide(n *yaml.Node, path string) {
	switch n.Kind {
	case yaml.DocumentNode, yaml.SequenceNode:
		flag := false // the item before is one whose value is a secret: --token
		for _, c := range n.Content {
			if flag && c.Kind == yaml.ScalarNode && !strings.HasPrefix(c.Value, "/") {
				h.value(c)
			}
			flag = c.Kind == yaml.ScalarNode && strings.HasPrefix(c.Value, "-") && mask.Name(c.Value)
			h.hide(c, path)
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			name, v := n.Content[i].Value, n.Content[i+1]
			at := strings.TrimPrefix(path+"."+name, ".")
			switch {
			case at == "write_files.content":
				v.SetString(fmt.Sprintf("%s (%d bytes)", mask.Stars, len(v.Value)))
			case v.Kind == yaml.ScalarNode && v.Value != "" && (h.secret[at] || mask.Name(name)),
				v.Kind == yaml.ScalarNode && v.Value != "" && strings.HasSuffix(path, "environment") && !plainVariable().MatchString(name):
				h.value(v)
			case strings.HasPrefix(at, "addons.") && strings.HasSuffix(at, ".objects") && strings.Count(at, ".") == 2 && v.Kind == yaml.ScalarNode:
				if v.Value != "" {
					v.SetString(h.objects(v.Value))
				}
			case strings.HasPrefix(at, "addons.") && chartSecret().MatchString(name) && strings.Count(at, ".") > 2:
				h.all(v)
			default:
				h.hide(v, at)
			}
		}
	case yaml.ScalarNode:
		if n.Tag == "!!str" {
			if s := mask.String(n.Value); s != n.Value {
				n.SetString(s)
			}
		}
	}
}

// Values lists the texts in configuration files that are secrets, so that they can be found again
// elsewhere: in a log, in a command line. name determines the format of a file, data is the file as
// it is.
func Values(name string, data []byte) []string {
	var list []string
	for _, s := range config.FindSecrets(config.FormatOf(name), data) {
		list = append(list, strings.Trim(string(data[s.Start:s.End]), `"'`))
	}
	l, _ := config.Parse(name, data)
	c, _ := config.Merge(l)
	return append(list, InConfig(c)...)
}

// InConfig returns the secrets of a configuration, wherever it came from, also those in values that
// are not secrets as a whole.
func InConfig(c *config.Config) []string {
	var list []string
	h := newHider()
	if n, err := yamltext.Node(c); err == nil {
		h.hide(n, "")
	}
	for _, v := range h.found {
		// A short value, or a path, is masked where it is, but would be found everywhere in a log.
		if len(v) >= 8 && !strings.HasPrefix(v, "/") {
			list = append(list, v)
		}
	}
	list = append(list, c.Secrets()...)
	for _, f := range c.WriteFiles {
		// Of a file that not everybody may read: what follows = and : in it, and lines that
		// are one word.
		if !strings.HasSuffix(f.Permissions, "0") {
			continue
		}
		data, err := f.Data()
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(data)) {
			v := strings.TrimSpace(line)
			if i := strings.IndexAny(v, "=:"); i >= 0 {
				v = strings.Trim(strings.TrimSpace(v[i+1:]), `"'`)
			}
			if len(v) >= 6 && !strings.ContainsAny(v, " \t") {
				list = append(list, v)
			}
		}
	}
	return list
}

var (
	// Variables without secrets; a password in the address of a proxy
	// is masked in it.
	plainVariable = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`(?i)^(LANG|LANGUAGE|LC_[A-Z]+|TZ|TERM|PATH|HOME|GOGC|GOMAXPROCS|GOMEMLIMIT|(http|https|all|no|ftp)_proxy)$`)
	})
	// In the values of a chart whatever comes near: better one too many.
	chartSecret = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`(?i)(pass|pwd|auth|key|salt|secret|token|cred|cert|dsn|connection)`)
	})
)
