package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"imgbuild/qemu/standin/check"
)

// node is one run of the stand-in. A test gives it a root directory and ports of its own.
type node struct {
	root    string
	role    string
	config  map[string][]string
	api     string // address of the server's API
	kubelet string // address of the kubelet's healthz
	pause   time.Duration
}

// path gives a file below k3s' data directory.
func (n *node) path(name string) string {
	dir := "/var/lib/rancher/k3s"
	if d := n.config["data-dir"]; len(d) > 0 {
		dir = d[len(d)-1]
	}
	return filepath.Join(n.root, dir, name)
}

func (n *node) get(key string) string {
	if v := n.config[key]; len(v) > 0 {
		return v[len(v)-1]
	}
	return ""
}

// name is the node's name in the cluster.
func (n *node) name() string {
	if name := n.get("node-name"); name != "" {
		return name
	}
	name, _ := os.Hostname()
	return strings.ToLower(name)
}

// run is `k3s server` and `k3s agent` on a real node.
func run(ctx context.Context, role string, args []string) error {
	env := map[string]string{}
	for _, kv := range os.Environ() {
		k, v, _ := strings.Cut(kv, "=")
		env[k] = v
	}
	config, err := check.LoadConfig("/", args, env)
	if err != nil {
		return err
	}
	say("info", fmt.Sprintf("Starting k3s %s (standin) as %s", version, role))
	n := &node{root: "/", role: role, config: config, api: ":6443", kubelet: "127.0.0.1:10248", pause: 2 * time.Second}
	if p := n.get("https-listen-port"); p != "" {
		n.api = ":" + p
	}
	if role == "agent" && n.get("server") == "" {
		return errors.New("--server is required")
	}
	if err := facts(role, config); err != nil {
		return err
	}
	if err := n.likeK3s(); err != nil {
		return err
	}
	images, _ := os.ReadDir(n.path("agent/images"))
	for _, e := range images {
		if info, err := e.Info(); err == nil {
			fmt.Fprintf(os.Stderr, "standin: imports %s, %d bytes\n", e.Name(), info.Size())
		}
	}
	return n.serve(ctx)
}

// facts looks at the node and prints what does not hold; one line each on standard error.
func facts(role string, config map[string][]string) error {
	h := &check.Host{
		Root: "/", Role: role, Config: config, Now: time.Now, Getenv: os.Getenv, Delegate: delegate,
		Run: func(argv ...string) (string, error) {
			out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
			if err != nil {
				err = fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, strings.TrimSpace(string(out)))
			}
			return string(out), err
		},
	}
	failed, held, err := check.Run(h)
	if err != nil {
		return err
	}
	for _, f := range failed {
		fmt.Fprintln(os.Stderr, "standin:", f)
	}
	if len(failed) > 0 {
		return fmt.Errorf("standin: %d of %d facts do not hold, the first is %s", len(failed), held+len(failed), failed[0].Fact.ID)
	}
	fmt.Fprintf(os.Stderr, "standin: all %d facts hold\n", held)
	return nil
}

// serve runs the role until ctx ends, then leaves as k3s v1.21 does: status 1 and "controllers exited", its shims stay behind.
func (n *node) serve(ctx context.Context) error {
	health, err := net.Listen("tcp", n.kubelet)
	if err != nil {
		return err
	}
	defer health.Close()
	go http.Serve(health, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/healthz" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, "ok")
	}))
	if n.role == "server" {
		err = n.server(ctx)
	} else {
		err = n.agent(ctx)
	}
	if ctx.Err() != nil {
		return errors.New("controllers exited")
	}
	return err
}

// nodePassword makes the file that proves to the server that a node is the one it was before.
func (n *node) nodePassword() (string, error) {
	file := filepath.Join(n.root, "/etc/rancher/node/password")
	old, err := os.ReadFile(file)
	if err == nil {
		return strings.TrimSpace(string(old)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	fresh := random()
	return fresh, writeFile(file, []byte(fresh+"\n"), 0o600)
}

func random() string {
	b := make([]byte, 16)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// writeFile makes the directories that are missing; links on the way are followed.
func writeFile(name string, data []byte, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(name, data, mode); err != nil {
		return err
	}
	return os.Chmod(name, mode)
}

// notify tells the supervisor over NOTIFY_SOCKET (sd_notify(3)): a datagram, an address that begins with @ is abstract.
func notify(state string) error {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return nil
	}
	c, err := net.Dial("unixgram", name)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Write([]byte(state))
	return err
}
