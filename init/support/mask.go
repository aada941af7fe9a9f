// Package support takes secrets out of what leaves a node, and puts together what somebody who helps needs to see.
package support

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"imgbuild/init/config"

	"gopkg.in/yaml.v3"
)

// mask stands for a secret.
const mask = "********"

// Masked gives a configuration as YAML without its secrets: values of secret keys, what looks like one by its name in
// maps that are free (environment, values of add-ons), tokens in arguments, passwords in URLs, and the content of files.
func Masked(c *config.Config) (*yaml.Node, error) {
	var n yaml.Node
	if err := n.Encode(c); err != nil {
		return nil, err
	}
	secret := map[string]bool{}
	for _, k := range config.Table() {
		if k.Secret {
			secret[k.Path] = true
		}
	}
	hide(&n, "", secret)
	return &n, nil
}

// hide masks below one node. path is that of the key table, without items; names of maps are in it as they stand.
func hide(n *yaml.Node, path string, secret map[string]bool) {
	switch n.Kind {
	case yaml.DocumentNode, yaml.SequenceNode:
		flag := false // the item before is one whose value is a secret: --token
		for _, c := range n.Content {
			if flag && c.Kind == yaml.ScalarNode && !strings.HasPrefix(c.Value, "/") {
				c.SetString(mask)
			}
			flag = c.Kind == yaml.ScalarNode && strings.HasPrefix(c.Value, "-") && secretName().MatchString(c.Value)
			hide(c, path, secret)
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			name, v := n.Content[i].Value, n.Content[i+1]
			at := strings.TrimPrefix(path+"."+name, ".")
			switch {
			case at == "write_files.content":
				v.SetString(fmt.Sprintf("%s (%d bytes)", mask, len(v.Value)))
			case v.Kind == yaml.ScalarNode && v.Value != "" && (secret[at] || secretName().MatchString(name)):
				v.SetString(mask)
			default:
				hide(v, at, secret)
			}
		}
	case yaml.ScalarNode:
		if n.Tag == "!!str" {
			if s := string(patterns(([]byte(n.Value)))); s != n.Value {
				n.SetString(s)
			}
		}
	}
}

// Values lists the texts in configuration files that are secrets, so that they can be found again elsewhere: in a log, in
// a command line. name tells the format of a file, data is the file as it stands.
func Values(name string, data []byte) []string {
	var list []string
	for _, s := range config.FindSecrets(config.FormatOf(name), data) {
		list = append(list, strings.Trim(string(data[s.Start:s.End]), `"'`))
	}
	l, _ := config.Parse(name, data)
	c, _ := config.Merge(l)
	return append(list, inConfig(c)...)
}

// inConfig gives the secrets in values that are no secrets as a whole.
func inConfig(c *config.Config) []string {
	var list []string
	env := func(m map[string]string) {
		for name, v := range m {
			if secretName().MatchString(name) {
				list = append(list, v)
			}
		}
	}
	env(c.K3OS.Environment)
	for _, s := range c.Services {
		env(s.Environment)
	}
	for _, f := range c.WriteFiles {
		// Of a file that not everybody may read: what stands behind = and : in it, and lines that are one word.
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
	texts := slices.Concat([]string{c.Backup.To, strings.Join(c.K3OS.K3sArgs, " ")}, c.K3OS.DataSources, c.RunCmd, c.BootCmd, c.InitCmd)
	for _, v := range c.K3OS.Environment {
		texts = append(texts, v)
	}
	for _, s := range c.Services {
		texts = append(texts, strings.Join(s.Command, " "))
	}
	for _, t := range texts {
		for _, m := range inText().FindAllStringSubmatch(t, -1) {
			list = append(list, m[len(m)-1])
		}
		for _, m := range userinfo().FindAllStringSubmatch(t, -1) {
			list = append(list, m[3])
		}
	}
	return list
}

// once compiles an expression when it is first wanted: this package is part of PID 1's program, which never does.
func once(expression string) func() *regexp.Regexp {
	var r *regexp.Regexp
	return func() *regexp.Regexp {
		if r == nil {
			r = regexp.MustCompile(expression)
		}
		return r
	}
}

const nameOfSecret = `(?:token|passw(?:or)?d|passwd|passphrase|secret|psk|api_?-?key|access_?-?key|private_?-?key|credentials?)`

var (
	secretName = once(`(?i)` + nameOfSecret + `$`)
	// --token=X, TOKEN: X, "password": "X", token X as the flag of a command
	inText   = once(`(?i)((?:[\w.-]*` + nameOfSecret + `)["']?(?:\s*[:=]\s*|\s+)["']?)([^\s"',;&]{4,})`)
	userinfo = once(`([a-zA-Z][a-zA-Z0-9+.-]*://)([^/\s:@"']*):([^@\s/"']+)@`)
)
