package overlays

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"testing"
)

func lines(t *testing.T, name string) [][]string {
	t.Helper()
	files, _, err := Get("base")
	if err != nil {
		t.Fatal(err)
	}
	f, err := files.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all [][]string
	for s := bufio.NewScanner(f); s.Scan(); {
		all = append(all, strings.Split(s.Text(), ":"))
	}
	return all
}

// The account files agree with each other, ids are unique, and nobody can log in with a password.
func TestAccounts(t *testing.T) {
	groups, ids, names := map[string]bool{}, map[string]string{}, map[string]bool{}
	for _, g := range lines(t, "etc/group") {
		if len(g) != 4 || groups[g[2]] {
			t.Errorf("group %v", g)
		}
		groups[g[2]] = true
	}
	for _, u := range lines(t, "etc/passwd") {
		if len(u) != 7 || ids[u[2]] != "" || names[u[0]] || u[1] != "x" || !groups[u[3]] {
			t.Errorf("user %v", u)
		}
		ids[u[2]], names[u[0]] = u[0], true
	}
	if ids["1000"] != "rancher" {
		t.Error("k3OS's user is not uid 1000")
	}
	shadow := lines(t, "etc/shadow")
	if len(shadow) != len(names) {
		t.Errorf("%d users, %d lines of shadow", len(names), len(shadow))
	}
	for _, s := range shadow {
		if len(s) != 9 || s[1] != "*" || !names[s[0]] {
			t.Errorf("shadow %v", s)
		}
	}
}

func TestTables(t *testing.T) {
	for _, name := range []string{"base", "k3s"} {
		_, table, err := Get(name)
		if err != nil {
			t.Fatal(err)
		}
		if len(table.Links) == 0 {
			t.Errorf("%s has no links", name)
		}
		for _, d := range append(append([]Dir(nil), table.Dirs...), table.Modes...) {
			if d.Path == "" || strings.HasPrefix(d.Path, "/") || d.Mode == 0 || d.Mode > 0o7777 {
				t.Errorf("%s: %+v", name, d)
			}
		}
	}
	if files, table, err := Get("nope"); files != nil || err != nil || len(table.Links) != 0 {
		t.Error("an overlay that is not there is not empty")
	}
}

func TestSumCoversFiles(t *testing.T) {
	a, err := Sum()
	if err != nil || len(a) != 64 {
		t.Fatal(a, err)
	}
	count := 0
	if err := fs.WalkDir(files, ".", func(_ string, d fs.DirEntry, err error) error {
		if !d.IsDir() {
			count++
		}
		return err
	}); err != nil || count < 15 {
		t.Fatalf("%d files: %v", count, err)
	}
}

// A folder that is not embedded would be missing from every image in silence.
func TestEveryFolderIsEmbedded(t *testing.T) {
	list, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if inside, _ := os.ReadDir(e.Name()); len(inside) == 0 { // a file, or a folder that git does not have either
			continue
		}
		if files, _, err := Get(e.Name()); err != nil || files == nil {
			t.Errorf("%s is not embedded: name it in overlays.go (%v)", e.Name(), err)
		}
	}
}

// A command of another system names the one of this system, also after sudo, and fails as every
// command does that does not exist.
func TestCommandsOfOtherSystems(t *testing.T) {
	for command, want := range map[string]string{
		"systemctl restart k3s": "shelf services", "journalctl -u k3s": "shelf logs", "apt install vim": "packages=", "curl http://x": "wget", "kubectl get nodes": "imgbuild kubeconfig",
		"nosuchcommand": "there is no nosuchcommand here", "sudo systemctl": "shelf services", "sudo kubectl get nodes": "imgbuild kubeconfig",
	} {
		cmd := exec.Command("bash", "-c", ". base/etc/bash.bashrc; "+command)
		cmd.Env = []string{"PATH=/nonexistent"}
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 127 || !strings.Contains(string(out), want) {
			t.Errorf("%s: got %v, %q, want exit status 127 and %q", command, err, out, want)
		}
		if command == "nosuchcommand" && strings.Contains(string(out), "how to fix it") {
			t.Errorf("%s: got %q, want no way out", command, out)
		}
	}
	// kubectl is there and has no cluster, then it has one.
	bin := t.TempDir()
	if err := os.WriteFile(bin+"/kubectl", []byte("#!/bin/sh\necho kubectl runs \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for env, want := range map[string]string{"": "kubectl has no access to a cluster here\nhow to fix it:   run it on a server", "KUBECONFIG=x": "kubectl runs get nodes\n"} {
		cmd := exec.Command("bash", "-c", ". base/etc/bash.bashrc; kubectl get nodes")
		cmd.Env = []string{"PATH=" + bin + ":/bin", "HOME=" + bin, env}
		if out, _ := cmd.CombinedOutput(); !strings.Contains(string(out), want) {
			t.Errorf("%q: got %q, want %q", env, out, want)
		}
	}
}
