package k3s

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"imgbuild/init/contract/config"
	"imgbuild/init/contract/yamltext"
)

// Where the generated files go. The token is in memory only: its lasting place is the imported
// configuration.
const (
	DropInPath = "/etc/rancher/k3s/config.yaml.d/10-k3os.yaml"
	TokenPath  = "/run/shelf/k3s-token"
)

// Roles of a node that runs k3s.
const (
	Server = "server"
	Worker = "worker"
)

// File is a file to be written before k3s starts. One without content is removed.
type File struct {
	Path string
	Mode uint32
	Data []byte
}

// Extra is a list of ours that is added to the user's own of the same flag.
type Extra struct {
	Flag   string
	Values []string
}

// Files returns what k3s finds on its disk. config.yaml is left to the user: the drop-in comes
// after it, so that k3os.* wins over it key by key, and labels, taints and extra lists are added to
// its own (the + of k3s' file format).
func Files(cfg *config.Config, extra ...Extra) ([]File, error) {
	var drop yaml.Node
	drop.Kind = yaml.MappingNode
	add := func(key string, value any) error {
		v, err := yamltext.Node(value)
		if err == nil {
			drop.Content = append(drop.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: key}, v)
		}
		return err
	}
	c := cfg.K3OS
	token := File{Path: TokenPath}
	var errs []error
	if labels := cfg.UsableLabels(); len(labels) > 0 {
		var list []string
		for _, name := range slices.Sorted(maps.Keys(labels)) {
			list = append(list, name+"="+labels[name])
		}
		errs = append(errs, add("node-label+", list))
	}
	if taints := cfg.UsableTaints(); len(taints) > 0 {
		errs = append(errs, add("node-taint+", taints))
	}
	for _, x := range extra {
		if len(x.Values) > 0 && !onCommandLine(cfg, x.Flag) {
			errs = append(errs, add(x.Flag+"+", x.Values))
		}
	}
	if c.ServerURL != "" {
		errs = append(errs, add("server", c.ServerURL))
	}
	if c.Token != "" {
		errs = append(errs, add("token-file", TokenPath))
		token.Mode, token.Data = 0o600, []byte(c.Token+"\n")
	}
	for _, err := range errs {
		if err != nil {
			return nil, fmt.Errorf("k3s configuration: %w", err)
		}
	}
	text := []byte("# Written by shelf at every start of k3s from cloud-config (k3os.labels, taints, server_url, token; addons).\n")
	if len(drop.Content) > 0 {
		data, err := yamltext.Marshal(&drop)
		if err != nil {
			return nil, fmt.Errorf("k3s configuration: %w", err)
		}
		text = append(text, data...)
	}
	// The token first: a drop-in must not name a file that is not there.
	return []File{token, {DropInPath, 0o600, text}}, nil
}

// Command is k3s' command line: the verb of the role, then k3s_args as they are. A list on it
// replaces that of the files, so where k3s_args have a list, our extra values of it are added
// there.
func Command(binary, role string, cfg *config.Config, extra ...Extra) []string {
	verb := "server"
	if role == Worker {
		verb = "agent"
	}
	line := append([]string{binary, verb}, cfg.K3sArguments()...)
	for _, x := range extra {
		if !onCommandLine(cfg, x.Flag) {
			continue
		}
		for _, value := range x.Values {
			line = append(line, "--"+x.Flag+"="+value)
		}
	}
	return line
}

// pluginDir is where the kubelet looks for volume plugins, and which it wants to make; its default
// is in the read-only /usr.
const pluginDir = "/var/lib/kubelet/volumeplugins"

// kubeArguments are arguments of ours for the kubelet, unless the user has set the same ones, in
// k3s_args or in k3s' files below root.
func kubeArguments(cfg *config.Config, root string) []Extra {
	const flag, name = "kubelet-arg", "volume-plugin-dir="
	for _, value := range append(flagValues(cfg, flag), fileValues(cfg, root, flag)...) {
		if strings.HasPrefix(value, name) {
			return nil
		}
	}
	return []Extra{{flag, []string{name + pluginDir}}}
}

// onCommandLine reports whether k3s_args have a flag.
func onCommandLine(cfg *config.Config, long string) bool {
	return slices.ContainsFunc(cfg.K3sArguments(), func(a string) bool { return a == "--"+long || strings.HasPrefix(a, "--"+long+"=") })
}

// Environment is what k3s gets next to the init's defaults: of k3os.environment what concerns it,
// and our defaults, which have the last word nowhere: k3s prefers its files and arguments to its
// environment. name is the node's in the cluster.
func Environment(cfg *config.Config, name string) []string {
	// Users that may become root can use kubectl without it, and no other user can read the
	// administrator's key.
	env := []string{"K3S_KUBECONFIG_MODE=0640", "K3S_KUBECONFIG_GROUP=sudo"}
	if name != "" { // see nodeName
		env = append(env, "K3S_NODE_NAME="+name)
	}
	given := cfg.K3OS.Environment
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if wanted(name) {
			env = append(env, name+"="+given[name])
		}
	}
	return env
}

// wanted reports whether a variable is for k3s: those that its installer keeps.
func wanted(name string) bool {
	switch strings.ToUpper(name) {
	case "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY":
		return true
	}
	return strings.HasPrefix(name, "K3S_") || strings.HasPrefix(name, "CONTAINERD_")
}

// flagValues returns every value of a flag in k3s_args, in order.
func flagValues(cfg *config.Config, long string) []string {
	var values []string
	args := cfg.K3sArguments()
	for i, a := range args {
		if v, ok := strings.CutPrefix(a, "--"+long+"="); ok {
			values = append(values, v)
		} else if a == "--"+long && i+1 < len(args) {
			values = append(values, args[i+1])
		}
	}
	return values
}

// flag returns the value of a flag in k3s_args, which may be written as --name=value or as two
// items; the last one counts.
func flag(cfg *config.Config, long, short, otherwise string) string {
	value := otherwise
	args := cfg.K3sArguments()
	for i, a := range args {
		for _, name := range []string{"--" + long, "-" + short} {
			if v, ok := strings.CutPrefix(a, name+"="); ok {
				value = v
			} else if a == name && i+1 < len(args) {
				value = args[i+1]
			}
		}
	}
	return value
}

// DataDir is where k3s keeps its state.
func DataDir(cfg *config.Config) string { return dataDir(cfg) }

func dataDir(cfg *config.Config) string {
	return flag(cfg, "data-dir", "d", valueOr(cfg.K3OS.Environment["K3S_DATA_DIR"], "/var/lib/rancher/k3s"))
}

func valueOr(v, otherwise string) string {
	if v == "" {
		return otherwise
	}
	return v
}

// missing returns the setting that k3s still needs before it can start; empty when nothing.
func missing(cfg *config.Config, role string) string {
	keys := cfg.Missing(role)
	if len(keys) == 0 {
		return ""
	}
	var short []string
	for _, k := range keys {
		short = append(short, strings.TrimPrefix(k, "k3os."))
	}
	verb := "is"
	if len(keys) > 1 {
		verb = "are"
	}
	return fmt.Sprintf("%s %s missing: set %s in BOOT/config.yaml", strings.Join(short, " and "), verb, strings.Join(keys, " and "))
}
