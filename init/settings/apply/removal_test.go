package apply

import (
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"imgbuild/init/contract/config"
	"imgbuild/init/k3s"
	"imgbuild/init/net/clock"
	"imgbuild/init/net/network"
	"imgbuild/init/net/wifi"
	"imgbuild/init/settings/identity"
	"imgbuild/init/status/monitor"
	"imgbuild/init/supervise"

	"gopkg.in/yaml.v3"
)

// seenElsewhere names, for the keys whose effect is neither a file nor a unit, the tests that see
// it come and go.
var seenElsewhere = map[string]string{
	"init_cmd":               "apply.TestCommands", // commands of a boot leave what they leave
	"boot_cmd":               "apply.TestCommands",
	"run_cmd":                "apply.TestCommands",
	"k3os.data_sources":      "sources.TestKeep",
	"k3os.modules":           "scenarios.TestNode", // a module stays until the next boot
	"k3os.dns_nameservers":   "network.TestResolvConf",
	"network.interfaces":     "network.TestApplyStaysUp", // and all below it
	"network.vlans":          "network.TestPlanDevices",
	"network.bridges":        "network.TestPlanDevices",
	"network.bonds":          "network.TestPlanDevices",
	"network.dns":            "network.TestResolvConf",
	"network.search":         "network.TestResolvConf",
	"network.mdns":           "lan.TestFacts",
	"data.device":            "datadisk.TestDecide",
	"backup.to":              "backup.TestKeeper",
	"backup.keep":            "backup.TestKeep",
	"backup.host_key":        "backup.TestStrangers",
	"time.wait":              "clock.TestKeeperGrace",
	"monitoring.enabled":     "scenarios.TestNode",
	"shelf.role":             "config.TestRoleOf",
	"shelf.board":            "config.TestMergeIsAssociative",
	"shelf.ssh_host_key":     "apply.TestIdentity", // what the node has is kept
	"shelf.node_password":    "apply.TestIdentity",
	"upgrade.keys":           "keys.TestAdd", // the configuration's keys count next to those of the image
	"upgrade.deadline":       "node.TestDeadlines",
	"upgrade.auto":           "auto.TestDecide", // asked with every look
	"upgrade.channel":        "command.TestAuto",
	"upgrade.source":         "command.TestAuto",
	"upgrade.window":         "auto.TestDecide",
	"upgrade.lock":           "command.TestLocked",
	"memory.zram":            "swap.TestDecide",
	"memory.swap":            "config.TestSwapRefused",
	"storage.disks":          "disks.TestDecideAllPairs", // and all below it
	"storage.raw":            "disks.TestKept",
	"storage.users":          "shares.TestEveryKeyCounts", // all is made of the configuration alone
	"storage.shares":         "shares.TestEveryKeyCounts",
	"storage.nfs":            "shares.TestEveryKeyCounts",
	"storage.smb":            "shares.TestEveryKeyCounts",
	"storage.ftp":            "shares.TestEveryKeyCounts",
	"storage.backup":         "config.TestBackupRules",   // each run reads it
	"router":                 "service.TestUnits",        // and all below it
	"services.ready.notify":  "supervise.TestFromConfig", // of the four ways to be ready one counts
	"services.ready.file":    "supervise.TestFromConfig",
	"services.ready.command": "supervise.TestFromConfig",
	"write_files.path":       "apply.TestFilesAreTakenBack", // an item without a path is none
	"write_files.owner":      "apply.TestOwner",             // a test is not root
}

// TestRemovingAKeyRemovesItsEffect walks the key table: a node that had a key and has it no more is
// the node that never had it. The effect of a key is seen in the node's files below a root, and in
// what is made of the configuration for k3s, wpa_supplicant, the supervisor, the clock and
// node-exporter.
func TestRemovingAKeyRemovesItsEffect(t *testing.T) {
	var tests []string
	var sources []string
	for _, pattern := range []string{"../../../qemu/*/*_test.go", "../../*/*_test.go", "../../*/*/*_test.go"} { // the project's, init's, and init's groups'
		found, _ := filepath.Glob(pattern)
		sources = append(sources, found...)
	}
	for _, name := range sources {
		data, _ := os.ReadFile(name)
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllStringSubmatch(string(data), -1) {
			tests = append(tests, filepath.Base(filepath.Dir(name))+"."+m[1])
		}
	}
	for path, name := range seenElsewhere {
		if !slices.Contains(tests, name) {
			t.Errorf("%s names the test %s, which does not exist", path, name)
		}
	}
	full := exampleTree(t)
	for _, k := range config.Table() {
		acts := !k.Planned && !slices.Contains([]config.Type{config.Section, config.Items, config.Named}, k.Type) && !strings.HasPrefix(k.Path, "k3os.install")
		elsewhere := false
		for up := k.Path; up != "" && !elsewhere; up = up[:max(0, strings.LastIndexByte(up, '.'))] {
			_, elsewhere = seenElsewhere[up]
		}
		if !acts || elsewhere {
			continue
		}
		less := without(full, strings.Split(k.Path, "."))
		top, _, _ := strings.Cut(strings.TrimPrefix(k.Path, "k3os."), ".")
		files := slices.Contains([]string{"ssh_authorized_keys", "write_files", "hostname", "sysctls", "password", "environment", "time"}, top)
		with, never := newNode(t), newNode(t)
		before := with.take(t, full, files)
		after := with.take(t, less, files)
		if want := never.take(t, less, files); after != want {
			t.Errorf("%s was taken out, and the node is not as if it had never been there:\n%s", k.Path, lineDiff(want, after))
		}
		if before == after {
			t.Errorf("%s has no effect that is seen", k.Path)
		}
	}
}

// exampleTree is the example of every key, changed where one of them hides another.
func exampleTree(t *testing.T) map[string]any {
	t.Helper()
	text := strings.NewReplacer("wifi:\n    - name: home\n      passphrase: correct", "wifi:\n    - name: work\n      passphrase: correct").Replace(example(t))
	var tree map[string]any
	if err := yaml.Unmarshal([]byte(text), &tree); err != nil {
		t.Fatal(err)
	}
	tree["k3os"].(map[string]any)["wifi"].([]any)[0].(map[string]any)["name"] = "work"
	tree["network"].(map[string]any)["wifi"].([]any)[0].(map[string]any)["name"] = "home"
	delete(tree["write_files"].([]any)[0].(map[string]any), "owner") // a test is not root
	tree["ssh_authorized_keys"] = []any{key}
	addons := tree["addons"].(map[string]any)
	addons["weather"].(map[string]any)["enabled"] = true
	addons["traefik"] = map[string]any{"enabled": false}
	return tree
}

// example is the configuration at the end of docs/config.md, which has every key.
func example(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("../../../docs/config.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, begins := strings.Cut(string(page), "\n## A file with every key\n")
	_, text, fenced := strings.Cut(text, "\n```yaml\n")
	text, _, ends := strings.Cut(text, "```\n")
	if !begins || !fenced || !ends {
		t.Fatal("docs/config.md has no example at its end")
	}
	return text
}

// without returns a copy of a tree that lacks one key, in every item and named section.
func without(tree any, path []string) any {
	switch v := tree.(type) {
	case map[string]any:
		out := maps.Clone(v)
		if _, here := out[path[0]]; here {
			if len(path) == 1 {
				delete(out, path[0])
			} else {
				out[path[0]] = without(out[path[0]], path[1:])
			}
			return out
		}
		for name := range out { // the names of services and add-ons are not part of the path
			if _, section := out[name].(map[string]any); section {
				out[name] = without(out[name], path)
			}
		}
		return out
	case []any:
		out := slices.Clone(v)
		for i := range out {
			out[i] = without(out[i], path)
		}
		return out
	}
	return tree
}

// aNode is a root that configurations are applied to one after the other.
type aNode struct{ Machine }

func newNode(t *testing.T) aNode {
	m := box(t)
	m.Track = &Track{}
	if err := os.Chmod(m.Root+"/etc/environment", 0o644); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{"/proc/sys/kernel/printk": "7 4 1 7\n", "/proc/sys/vm/swappiness": "60\n", "/usr/share/zoneinfo/Europe/Berlin": "TZif", "/etc/motd": "the image's\n"} {
		os.MkdirAll(filepath.Dir(m.Root+path), 0o755)
		if err := os.WriteFile(m.Root+path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return aNode{m}
}

// take applies a configuration and returns what is to be seen of it; without files only what is
// made of it for others.
func (n aNode) take(t *testing.T, tree any, files bool) string {
	t.Helper()
	text, err := yaml.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	l, problems := config.Parse("f", text)
	c, more := config.Merge(l)
	if len(problems)+len(more) > 0 {
		t.Fatal(problems, more)
	}
	var b strings.Builder
	if files {
		n.applyFiles(t, c, &b)
	}
	n.derived(c, &b)
	return b.String()
}

// applyFiles makes the configuration true below the root, and shows the root.
func (n aNode) applyFiles(t *testing.T, c *config.Config, b *strings.Builder) {
	t.Helper()
	host, err := identity.Hostname(filepath.Join(t.TempDir(), "hostname"), c.Hostname, net.HardwareAddr{2, 0, 0, 0, 0, 1})
	for _, err := range []error{err, n.Names(host), n.Sysctls(c.K3OS.Sysctls), n.Keys(c.SSHAuthorizedKeys), n.Password(c.K3OS.Password), n.Environment(c.K3OS.Environment), n.Zone(c.Time.Zone), n.Files(c.WriteFiles)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	err = filepath.WalkDir(n.Root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name := strings.TrimPrefix(path, n.Root)
		info, err := d.Info()
		if err != nil || strings.HasPrefix(name, trackVolatile) || strings.HasPrefix(name, trackLasting) {
			return err
		}
		if target, err := os.Readlink(path); err == nil {
			fmt.Fprintf(b, "%s -> %s\n", name, target)
			return nil
		}
		data, err := os.ReadFile(path)
		fmt.Fprintf(b, "%s %v %q\n", name, info.Mode(), data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// derived shows what is made of the configuration for others.
func (n aNode) derived(c *config.Config, b *strings.Builder) {
	files, err := k3s.Files(c)
	manifests, err2 := k3s.Addons(c)
	fmt.Fprintf(b, "k3s %v %v\n", err, err2)
	for _, f := range append(files, manifests...) {
		fmt.Fprintf(b, "%s %o %q\n", f.Path, f.Mode, f.Data)
	}
	fmt.Fprintf(b, "%q\n%q\n", k3s.Command("k3s", k3s.Server, c), k3s.Environment(c, "node"))
	fmt.Fprintf(b, "%s\n%q\n", wifi.Config(c.Network.Country, c.AllWiFi()), clock.Tiers(c, nil))
	for _, name := range slices.Sorted(maps.Keys(c.Services)) {
		u, err := supervise.FromConfig(name, c.Services[name])
		fmt.Fprintf(b, "%v %+v %v\n", c.Services[name].Enabled, u, err)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Addons)) {
		fmt.Fprintf(b, "add-on %s %v\n", name, c.Addons[name].Enabled)
	}
	listen, err := monitor.Listen(c.Monitoring.Listen, []network.Status{{Name: "eth0", Carrier: true, Gateway: netip.MustParseAddr("10.0.0.1"), Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.2/24")}}})
	fmt.Fprintf(b, "%s %v\n", listen, err)
}

// lineDiff shows the lines that differ.
func lineDiff(want, got string) string {
	var out []string
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	for _, l := range a {
		if !slices.Contains(b, l) {
			out = append(out, "- "+l)
		}
	}
	for _, l := range b {
		if !slices.Contains(a, l) {
			out = append(out, "+ "+l)
		}
	}
	return strings.Join(out, "\n")
}
