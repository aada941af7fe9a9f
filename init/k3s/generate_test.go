package k3s

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"imgbuild/init/contract/config"
)

func TestFiles(t *testing.T) {
	for name, c := range map[string]struct {
		k     config.K3OS
		drop  string // below the comment
		token string
	}{
		"nothing": {config.K3OS{}, "", ""},
		"server": {config.K3OS{
			Token:  "secret",
			Labels: map[string]string{"zone": "a", "disk": "true", "n": "010"},
			Taints: []string{"dedicated=db:NoSchedule", "slow:PreferNoSchedule"},
		}, `node-label+:
    - disk=true
    - n=010
    - zone=a
node-taint+:
    - dedicated=db:NoSchedule
    - slow:PreferNoSchedule
token-file: /run/shelf/k3s-token
`, "secret\n"},
		"worker": {config.K3OS{Token: "K10abc::server:x", ServerURL: "https://shelf-1:6443"}, `server: https://shelf-1:6443
token-file: /run/shelf/k3s-token
`, "K10abc::server:x\n"},
		// Labels and taints that the kubelet would not start with are left out, and the rest
		// counts.
		"slips": {config.K3OS{Labels: map[string]string{"a": "b c", "node-role.kubernetes.io/worker": "true", "good": "x"}, Taints: []string{"a=b:NoShedule", "c:NoExecute"}}, `node-label+:
    - good=x
node-taint+:
    - c:NoExecute
`, ""},
		"hostile": {config.K3OS{Labels: map[string]string{"a": "b\ncluster-init: true"}, ServerURL: "https://x:6443\nflannel-backend: none"}, `server: |-
    https://x:6443
    flannel-backend: none
`, ""},
	} {
		files, err := Files(&config.Config{K3OS: c.k})
		if err != nil || len(files) != 2 {
			t.Fatalf("%s: %v, %v, want length 2", name, files, err)
		}
		comment, drop, _ := strings.Cut(string(files[1].Data), "\n")
		if !strings.HasPrefix(comment, "# Written by shelf") || drop != c.drop || files[1].Path != DropInPath || files[1].Mode != 0o600 {
			t.Errorf("%s: drop-in %s\n%s", name, files[1].Path, files[1].Data)
		}
		if string(files[0].Data) != c.token || files[0].Path != TokenPath || c.token != "" && files[0].Mode != 0o600 {
			t.Errorf("%s: token %+v", name, files[0])
		}
		if strings.Contains(string(files[1].Data), "secret") {
			t.Errorf("%s: the token is in the drop-in", name)
		}
		var keys map[string]any
		if err := yaml.Unmarshal(files[1].Data, &keys); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCommand(t *testing.T) {
	cfg := &config.Config{K3OS: config.K3OS{K3sArgs: []string{"server", "--disable=traefik", "--tls-san", "shelf.lan"}}}
	if got := strings.Join(Command("/usr/bin/k3s", Server, cfg), " "); got != "/usr/bin/k3s server --disable=traefik --tls-san shelf.lan" {
		t.Error(got)
	}
	if got := strings.Join(Command("/x/k3s", Worker, &config.Config{}), " "); got != "/x/k3s agent" {
		t.Error(got)
	}
}

// The kubelet's plugins are below /var unless the user sets another place: after the user's other
// arguments of the kubelet, wherever those are.
func TestKubeArguments(t *testing.T) {
	const ours = "--kubelet-arg=volume-plugin-dir=/var/lib/kubelet/volumeplugins"
	for name, c := range map[string]struct {
		args       []string
		files      map[string]string
		line, drop bool
	}{
		"nothing of the user's": {nil, nil, false, true},
		"his on the line":       {[]string{"--kubelet-arg=max-pods=20"}, nil, true, false},
		"the same on the line":  {[]string{"--kubelet-arg", "volume-plugin-dir=/x"}, nil, false, false},
		"his in a file":         {nil, map[string]string{"etc/rancher/k3s/config.yaml": "kubelet-arg: [max-pods=20]\n"}, false, true},
		"the same in a file":    {nil, map[string]string{"etc/rancher/k3s/config.yaml": "kubelet-arg: volume-plugin-dir=/x\n"}, false, false},
		"the same, added":       {nil, map[string]string{"etc/rancher/k3s/config.yaml.d/90.yaml": "kubelet-arg+: [a=b, volume-plugin-dir=/x]\n"}, false, false},
		"ours of the last time": {nil, map[string]string{DropInPath: "kubelet-arg+: [volume-plugin-dir=/old]\n"}, false, true},
		"a broken file":         {nil, map[string]string{"etc/rancher/k3s/config.yaml": "kubelet-arg: {"}, false, true},
	} {
		root := t.TempDir()
		for file, text := range c.files {
			put(t, filepath.Join(root, file), text)
		}
		cfg := &config.Config{K3OS: config.K3OS{K3sArgs: c.args}}
		extra := kubeArguments(cfg, root)
		if got := strings.Contains(strings.Join(Command("k3s", Worker, cfg, extra...), " "), ours); got != c.line {
			t.Errorf("%s: on the line %v, want %v", name, got, c.line)
		}
		files, err := Files(cfg, extra...)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(string(files[1].Data), "kubelet-arg+:\n    - volume-plugin-dir=/var/lib/kubelet/volumeplugins\n"); got != c.drop {
			t.Errorf("%s: in the drop-in %v, want %v:\n%s", name, got, c.drop, files[1].Data)
		}
	}
}

func TestEnvironment(t *testing.T) {
	cfg := &config.Config{K3OS: config.K3OS{Environment: map[string]string{
		"K3S_KUBECONFIG_MODE": "0600", "K3S_X": "1", "CONTAINERD_HTTPS_PROXY": "p", "HTTP_PROXY": "q", "no_proxy": "r", "PATH": "/evil", "EDITOR": "vi",
	}}}
	want := []string{"K3S_KUBECONFIG_MODE=0640", "K3S_KUBECONFIG_GROUP=sudo", "K3S_NODE_NAME=shelf-1",
		"CONTAINERD_HTTPS_PROXY=p", "HTTP_PROXY=q", "K3S_KUBECONFIG_MODE=0600", "K3S_X=1", "no_proxy=r"}
	if got := Environment(cfg, "shelf-1"); !reflect.DeepEqual(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestFlag(t *testing.T) {
	for args, want := range map[string]string{
		"":                                "6443",
		"server --https-listen-port=7443": "7443",
		"--https-listen-port 7444":        "7444",
		"--https-listen-port":             "6443",
		"--https-listen-port=1 --https-listen-port=2": "2",
	} {
		cfg := &config.Config{K3OS: config.K3OS{K3sArgs: strings.Fields(args)}}
		if got := flag(cfg, "https-listen-port", "", "6443"); got != want {
			t.Errorf("%q: got %s", args, got)
		}
	}
	cfg := &config.Config{K3OS: config.K3OS{K3sArgs: []string{"server", "-d", "/mnt/x"}}}
	if got := dataDir(cfg); got != "/mnt/x" {
		t.Error(got)
	}
}

func TestMissing(t *testing.T) {
	c := &config.Config{}
	if got := missing(c, Worker); got != "server_url and token are missing: set k3os.server_url and k3os.token in BOOT/config.yaml" {
		t.Error(got)
	}
	c.K3OS.Token = "x"
	if got := missing(c, Worker); got != "server_url is missing: set k3os.server_url in BOOT/config.yaml" {
		t.Error(got)
	}
	if got := missing(c, Server); got != "" {
		t.Error(got)
	}
}

func TestWriteFiles(t *testing.T) {
	root := t.TempDir()
	if err := writeFiles(root, []File{{"/run/a/token", 0o600, []byte("s")}, {"/etc/b", 0o644, []byte("x")}}); err != nil {
		t.Fatal(err)
	}
	for path, mode := range map[string]os.FileMode{"/run/a/token": 0o600, "/etc/b": 0o644} {
		if st, err := os.Stat(filepath.Join(root, path)); err != nil || st.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", path, st, err)
		}
	}
	// A token that was taken out of the configuration goes.
	for range 2 {
		if err := writeFiles(root, []File{{Path: "/run/a/token"}}); err != nil {
			t.Fatal(err)
		}
	}
	if left, _ := os.ReadDir(filepath.Join(root, "run/a")); len(left) != 0 {
		t.Errorf("left %v, want length 0", left)
	}
}

func TestLinkTools(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bin")
	if err := linkTools(dir, "/usr/bin/k3s"); err != nil {
		t.Fatal(err)
	}
	for path, target := range map[string]string{"ctr": "/opt/my/ctr"} {
		os.Remove(filepath.Join(dir, path))
		if err := os.Symlink(target, filepath.Join(dir, path)); err != nil {
			t.Fatal(err)
		}
	}
	os.Remove(filepath.Join(dir, "crictl"))
	if err := os.WriteFile(filepath.Join(dir, "crictl"), []byte("mine"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := linkTools(dir, "/var/lib/shelf/k3s/v1/k3s"); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"k3s": "/var/lib/shelf/k3s/v1/k3s", "kubectl": "/var/lib/shelf/k3s/v1/k3s", "ctr": "/opt/my/ctr", "crictl": ""} {
		if got, _ := os.Readlink(filepath.Join(dir, name)); got != want {
			t.Errorf("%s -> %q", name, got)
		}
	}
}

func TestSysctls(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "net/ipv4/ip_forward"), "0\n")
	put(t, filepath.Join(dir, "fs/inotify/max_user_instances"), "128\n")
	cfg := &config.Config{K3OS: config.K3OS{Sysctls: map[string]string{"fs.inotify.max_user_instances": "99"}}}
	failed := setSysctls(dir, cfg)
	if got, _ := os.ReadFile(filepath.Join(dir, "net/ipv4/ip_forward")); string(got[:1]) != "1" {
		t.Errorf("ip_forward %q", got)
	}
	if got, _ := os.ReadFile(filepath.Join(dir, "fs/inotify/max_user_instances")); string(got) != "128\n" {
		t.Errorf("the user's own setting was changed to %q", got)
	}
	if len(failed) != len(sysctls)-2 {
		t.Errorf("failed %v, want length %v", failed, len(sysctls)-2)
	}
}

func TestCheckHost(t *testing.T) {
	good := func() string {
		root := t.TempDir()
		put(t, filepath.Join(root, "etc/machine-id"), "0123456789abcdef0123456789abcdef\n")
		put(t, filepath.Join(root, "dev/kmsg"), "")
		put(t, filepath.Join(root, "proc/sys/kernel/modprobe"), "/sbin/modprobe\n")
		put(t, filepath.Join(root, "sbin/modprobe"), "")
		return root
	}
	if err := checkHost(good()); err != nil {
		t.Fatal(err)
	}
	for want, spoil := range map[string]func(root string){
		"machine-id":    func(r string) { put(t, filepath.Join(r, "etc/machine-id"), "uninitialized\n") },
		"/dev/kmsg":     func(r string) { os.Remove(filepath.Join(r, "dev/kmsg")) },
		"module loader": func(r string) { os.Remove(filepath.Join(r, "sbin/modprobe")) },
	} {
		root := good()
		spoil(root)
		if err := checkHost(root); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
}

func TestPruneData(t *testing.T) {
	dir := t.TempDir()
	hash := func(c string) string { return strings.Repeat(c, 64) }
	for _, name := range []string{hash("a"), hash("b"), hash("c"), hash("d") + "-tmp", "cni", "mine"} {
		put(t, filepath.Join(dir, "data", name, "bin/k3s"), "x")
	}
	if err := pruneData(dir); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(filepath.Join(dir, "data")); len(left) != 6 {
		t.Errorf("removed something although it is not known what is in use: %v, want length 6", left)
	}
	for name, target := range map[string]string{"current": hash("b"), "previous": "/var/lib/rancher/k3s/data/" + hash("a")} {
		if err := os.Symlink(target, filepath.Join(dir, "data", name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := pruneData(dir); err != nil {
		t.Fatal(err)
	}
	var left []string
	entries, _ := os.ReadDir(filepath.Join(dir, "data"))
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if want := []string{hash("a"), hash("b"), "cni", "current", "mine", "previous"}; !reflect.DeepEqual(left, want) {
		t.Errorf("left %v", left)
	}
	if err := pruneData(filepath.Join(dir, "none")); err != nil {
		t.Error(err)
	}
}

func put(t *testing.T, path, s string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(s), 0o644); err != nil {
		t.Fatal(err)
	}
}
