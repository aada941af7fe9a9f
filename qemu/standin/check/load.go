package check

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// LoadConfig merges k3s' configuration as k3s does: environment, config.yaml, then config.yaml.d/*.yaml in alphabetical order, then the
// command line. The last value of a key wins; a key that ends in + appends (docs.k3s.io, configuration).
func LoadConfig(root string, args []string, env map[string]string) (map[string][]string, error) {
	c := map[string][]string{}
	for name, key := range map[string]string{"K3S_TOKEN": "token", "K3S_TOKEN_FILE": "token-file", "K3S_URL": "server", "K3S_NODE_NAME": "node-name", "K3S_DATA_DIR": "data-dir", "K3S_KUBECONFIG_MODE": "write-kubeconfig-mode"} {
		if v := env[name]; v != "" {
			c[key] = []string{v}
		}
	}
	line, err := parseArgs(args)
	if err != nil {
		return nil, err
	}
	file := "/etc/rancher/k3s/config.yaml"
	if f := line["config"]; len(f) > 0 {
		file = f[0]
	}
	files := []string{filepath.Join(root, file)}
	more, err := filepath.Glob(filepath.Join(root, file+".d", "*.yaml"))
	if err != nil {
		return nil, err
	}
	slices.Sort(more)
	for _, f := range append(files, more...) {
		if err := mergeFile(c, f); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	for k, v := range line {
		c[k] = v
	}
	return c, nil
}

func mergeFile(c map[string][]string, name string) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	var doc map[string]yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	for key, node := range doc {
		var values []string
		switch node.Kind {
		case yaml.ScalarNode:
			values = []string{node.Value}
		case yaml.SequenceNode:
			for _, item := range node.Content {
				values = append(values, item.Value)
			}
		default:
			return fmt.Errorf("%s: %s is neither a value nor a list", name, key)
		}
		if plain, more := strings.CutSuffix(key, "+"); more {
			c[plain] = append(c[plain], values...)
		} else {
			c[key] = values
		}
	}
	return nil
}

// booleans are flags without a value.
var booleans = strings.Fields("cluster-init debug prefer-bundled-bin with-node-id selinux protect-kernel-defaults secrets-encryption rootless disable-agent " +
	"disable-cloud-controller disable-kube-proxy disable-network-policy disable-helm-controller docker embedded-registry flannel-ipv6-masq")

func parseArgs(args []string) (map[string][]string, error) {
	c := map[string][]string{}
	for i := 0; i < len(args); i++ {
		flag, ok := strings.CutPrefix(args[i], "-")
		if !ok {
			return nil, fmt.Errorf("argument %q is no flag", args[i])
		}
		key, value, has := strings.Cut(strings.TrimPrefix(flag, "-"), "=")
		switch {
		case key == "t":
			key = "token"
		case key == "s":
			key = "server"
		case key == "c":
			key = "config"
		case key == "d":
			key = "data-dir"
		}
		if !has && slices.Contains(booleans, key) {
			value, has = "true", true
		}
		if !has {
			if i++; i == len(args) {
				return nil, fmt.Errorf("flag needs an argument: -%s", key)
			}
			value = args[i]
		}
		c[key] = append(c[key], value)
	}
	return c, nil
}
