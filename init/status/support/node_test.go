package support

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"imgbuild/init/contract/fault"
	"imgbuild/init/settings/sources"
	"imgbuild/init/status"
	"imgbuild/init/status/control"
)

// fakeNode is a node made of files, with secrets in all places.
func fakeNode(t *testing.T) *Node {
	t.Helper()
	n := &Node{Root: t.TempDir(), Version: "v", Text: func(w io.Writer, s status.Status) { fmt.Fprintln(w, "node", s.Hostname) }}
	for name, text := range map[string]string{
		sources.Main:                                   "hostname: a\nk3os: {token: secret-of-store, password: opensesame}\nrun_cmd: [\"login secret-of-part\"]\n",
		sources.Store + "/config.d/b.yaml":             "k3os: {token: secret-of-part}\n",
		sources.Boot + "/kernel.bin":                   "k3os: {token: no-secret-at-all}\n",
		"/var/lib/rancher/k3s/server/node-token":       "K10aa::server:secret-of-k3s\n",
		"/var/lib/rancher/k3s/server/cred/node-passwd": "hunter2hunter2,node,node:a,\n",
		"/run/shelf/report.txt":                        "the token is secret-of-part\n",
		"/proc/1/cmdline":                              "/init\x00secret-of-k3s\x00", "/proc/1/status": "PPid:\t0\n",
		"/proc/cmdline": "quiet\n",
	} {
		path := filepath.Join(n.Root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n.Call = func(r control.Request, data any) error {
		switch d := data.(type) {
		case *status.Status:
			d.Hostname, d.Why = "a", []string{"secret-of-store is wrong"}
		case *[]string:
			*d = []string{"k3s"}
		}
		return nil
	}
	n.Stream = func(_ context.Context, r control.Request, w io.Writer) error {
		_, err := fmt.Fprintln(w, r.Verb, r.Args["name"], "said hunter2hunter2")
		return err
	}
	return n
}

func TestSecrets(t *testing.T) {
	got := strings.Join(fakeNode(t).Secrets(), " ")
	for _, want := range []string{"secret-of-store", "secret-of-part", "opensesame", "secret-of-k3s", "hunter2hunter2"} {
		if !strings.Contains(got, want) {
			t.Errorf("got %q, want %s in it", got, want)
		}
	}
	if strings.Contains(got, "no-secret-at-all") {
		t.Errorf("got %q, with a word of a kernel", got)
	}
}

// The bundle of a node has everything, and no secret in any of its files.
func TestNodeBundle(t *testing.T) {
	n := fakeNode(t)
	file := filepath.Join(t.TempDir(), "a.tar.gz")
	if err := n.WriteFile(file, "top", time.Unix(1800000000, 0), -1, -1); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
		t.Errorf("got %v, %v, want mode 0600", info, err)
	}
	if err := n.WriteFile(file, "top", time.Unix(1800000000, 0), -1, -1); fault.Code(err) != int(fault.Input) {
		t.Errorf("a file that is there: got %v, want a fault of kind Input", err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[strings.TrimPrefix(h.Name, "top/")] = string(text)
	}
	for name, want := range map[string]string{"status.json": `"hostname": "a"`, "status.txt": "node a", "version.txt": "shelf v", "config.yaml": "hostname: a", "dmesg.txt": "dmesg",
		"report.txt": "the token is", "processes.txt": "1 0", "proc/cmdline": "quiet", "logs/k3s.log": "logs k3s", "errors.txt": "manifest.json"} {
		if !strings.Contains(files[name], want) {
			t.Errorf("%s: got %q, want %q in it", name, files[name], want)
		}
	}
	for name, text := range files {
		for _, secret := range []string{"secret-of", "hunter2", "opensesame"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s holds %s: %s", name, secret, text)
			}
		}
	}
}

// The configuration is shown with secrets on request only, and as JSON too.
func TestWriteConfig(t *testing.T) {
	n := fakeNode(t)
	for _, c := range []struct {
		open, asJSON bool
		want         string
	}{{false, false, "hostname: a\n"}, {true, false, "token: secret-of-part\n"}, {false, true, `"hostname": "a"`}, {true, true, `"token": "secret-of-part"`}} {
		var b, problems bytes.Buffer
		if err := n.WriteConfig(&b, c.open, c.asJSON, &problems); err != nil || !strings.Contains(b.String(), c.want) || problems.Len() > 0 {
			t.Errorf("%+v: got %v %q\n%s", c, err, problems.String(), b.String())
		}
		if got := strings.Contains(b.String(), "secret-of"); got != c.open {
			t.Errorf("%+v: secrets are shown: %v, want %v\n%s", c, got, c.open, b.String())
		}
	}
}

func TestProcesses(t *testing.T) {
	proc := t.TempDir()
	for name, text := range map[string]string{"1/cmdline": "/init\x00", "1/status": "Name:\tinit\nState:\tS (sleeping)\nPPid:\t0\nUid:\t0\t0\t0\t0\nVmRSS:\t  14800 kB\n",
		"2/cmdline": "", "2/status": "Name:\tkthreadd\n", "77/cmdline": "sh\x00-c\x00a\nb\x00", "77/status": "State:\tR\nPPid:\t1\nUid:\t1000\n", "self/cmdline": "x", "88/cmdline": "gone"} {
		path := filepath.Join(proc, name)
		os.MkdirAll(filepath.Dir(path), 0o755)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := string(processes(proc)); got != "PID PPID UID STATE RSS COMMAND\n1 0 0 S 14800 /init\n77 1 1000 R  sh -c a b\n" {
		t.Errorf("%q", got)
	}
}
