package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"imgbuild/builder/newconfig"
	"imgbuild/init/contract/fault"
)

const (
	edKey  = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDmVGDDjZPO6rtLSTaVLB6N1jJOmhmTcLKvN4tJdRzAa me@laptop"
	rsaKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBtWvKSyANpFQfHCMuL5xH1PZqYhP7ZQBzvZ2cUzHqYf old"
)

// withKeys makes a home directory with two ssh keys.
func withKeys(t *testing.T) (home string) {
	t.Helper()
	home = t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("SUDO_USER", "")
	if err := os.Mkdir(filepath.Join(home, ".ssh"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"id_ed25519.pub": edKey, "id_rsa.pub": rsaKey} {
		if err := os.WriteFile(filepath.Join(home, ".ssh", name), []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return home
}

// A server and its worker from nothing: two commands, and the worker has the server's token. Both
// files pass the check that the node makes.
func TestNew(t *testing.T) {
	printed := silence(t)
	withKeys(t)
	t.Chdir(t.TempDir())
	for _, words := range []string{
		"new server.yaml board=rpi4 role=server hostname=server1",
		"new node2.yaml board=rpi4 role=worker hostname=node2 server=server.yaml",
		"validate server.yaml board=rpi4 role=server", "validate node2.yaml board=rpi4 role=worker",
		"new board=rpi4 role=worker hostname=node3 server=192.168.1.11 token=abc key=none", // config.yaml
		"new nas.yaml board=rpi4 role=storage hostname=nas output=json",
		"new short.yaml board=rpi4 role=server hostname=short token=abc output=json",
	} {
		if err := dispatch(t.Context(), strings.Fields(words)); err != nil {
			t.Fatalf("%s: %v", words, err)
		}
	}
	read := func(name string) string {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 && name != newconfig.SchemaFile {
			t.Errorf("%s: %v, %v, want mode 0600: it holds the token", name, info.Mode(), err)
		}
		return string(text)
	}
	if got := printed(); !strings.Contains(got, `"short.yaml:8:10: warning: k3os.token: a token of 3 characters`) {
		t.Errorf("a warning has no file and line:\n%s", got)
	}
	server, worker, open := read("server.yaml"), read("node2.yaml"), read("config.yaml")
	for _, want := range []string{"# yaml-language-server: $schema=shelfos.schema.json\n", "hostname: server1\n", "- " + edKey + "\n"} {
		if !strings.Contains(server, want) {
			t.Errorf("server.yaml has no %q:\n%s", want, server)
		}
	}
	_, secret, _ := strings.Cut(server, "  token: ")
	if len(secret) < 20 || !strings.HasSuffix(worker, "  server_url: https://server1:6443\n  token: "+secret) {
		t.Errorf("the worker does not join the server:\n%s\n%s", server, worker)
	}
	if strings.Contains(open, "\nssh_authorized_keys") || !strings.Contains(open, "https://192.168.1.11:6443\n  token: abc\n") {
		t.Errorf("config.yaml is\n%s", open)
	}
	if !strings.Contains(read(newconfig.SchemaFile), `"cloud-config of ShelfOS"`) {
		t.Error("the schema is not there")
	}
	if !strings.Contains(printed(), "imgbuild board=rpi4 role=worker config=node2.yaml\n") || !strings.Contains(printed(), "SHA256:") {
		t.Errorf("it printed\n%s", printed())
	}
}

func TestNewRefusals(t *testing.T) {
	silence(t)
	withKeys(t)
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{"there.yaml": "a", "notoken.yaml": "hostname: a\n", "joins.yaml": "k3os: {server_url: 'https://a:6443', token: b}\n", "noname.yaml": "k3os: {token: b}\n", "bad.yaml": "hostname: [\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for words, want := range map[string]string{
		"new there.yaml board=rpi4 role=server hostname=a":             "exists already",
		"new board=rpi4 role=server":                                   "hostname",
		"new role=server hostname=a":                                   "no board is given",
		"new board=rpi44 role=server hostname=a":                       "rpi4",
		"new board=rpi4 role=server hostname=a_b!":                     "hostname",
		"new board=rpi4 role=server hostname=a server=b":               "for a worker",
		"new board=rpi4 role=worker hostname=a server=b":               "token",
		"new board=rpi4 role=worker hostname=a server=notoken.yaml":    "has no token",
		"new board=rpi4 role=worker hostname=a server=joins.yaml":      "joins a server itself",
		"new board=rpi4 role=worker hostname=a server=noname.yaml":     "neither a name",
		"new board=rpi4 role=worker hostname=a server=bad.yaml":        "bad.yaml",
		"new board=rpi4 role=worker hostname=a server=absent.yaml":     "does not exist",
		"new board=rpi4 role=worker hostname=a server=ftp://b token=c": "server_url",
		"new board=rpi4 role=server hostname=a key=absent":             "absent",
		"new folder/x.yaml board=rpi4 role=server hostname=a":          "x.yaml",
		"new a.yaml b.yaml": "one file",
		"board=rpi4 role=worker key=default config=there.yaml mirror=http://x.lan": "ssh_authorized_keys",
	} {
		err := dispatch(t.Context(), strings.Fields(words))
		if code := fault.Code(err); code < 2 || code > 6 || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") && want != "hostname" && want != "server_url" {
			t.Errorf("%s: got code %d, %v, want %q", words, code, err, want)
		}
	}
	if left, _ := filepath.Glob("*"); len(left) != 5 {
		t.Errorf("something was written: %q", left)
	}
}

// The user is asked which key; a wrong answer is asked again, none is none, no key no question.
func TestAskKeys(t *testing.T) {
	home := withKeys(t)
	for _, c := range []struct {
		answers []string
		want    []string
	}{
		{[]string{""}, []string{edKey}}, {[]string{"2"}, []string{rsaKey}}, {[]string{"3", "x", "2,1"}, []string{rsaKey, edKey}},
		{[]string{"1 1"}, []string{edKey}}, {[]string{"none"}, nil}, {[]string{"no"}, nil},
	} {
		asked := 0
		keys, err := askKeys(t.Context(), io.Discard, func(context.Context, string) (string, error) {
			asked++
			return c.answers[asked-1], nil
		}, home)
		var got []string
		for _, k := range keys {
			got = append(got, k.Line)
		}
		if err != nil || asked != len(c.answers) || !slices.Equal(got, c.want) {
			t.Errorf("%q: got %q, %v after %d questions, want %q", c.answers, got, err, asked, c.want)
		}
	}
	wrong := errors.New("end of input")
	if _, err := askKeys(t.Context(), io.Discard, func(context.Context, string) (string, error) { return "", wrong }, home); err != wrong {
		t.Errorf("got %v, want the error of the answer", err)
	}
	var out strings.Builder
	keys, err := askKeys(t.Context(), &out, nil, t.TempDir())
	if keys != nil || err != nil || !strings.Contains(out.String(), "ssh-keygen -t ed25519") {
		t.Errorf("got %v, %v, %q, want a hint and no question", keys, err, out.String())
	}
}

// A build without a terminal asks nothing and takes no key by itself.
func TestLoginKeys(t *testing.T) {
	home := withKeys(t)
	for words, want := range map[string]string{
		"": "", "key=none": "", "key=default": edKey, "key=" + filepath.Join(home, ".ssh/id_rsa.pub"): rsaKey, "key=~/.ssh/id_rsa.pub": rsaKey,
	} {
		a, err := program().Parse(strings.Fields("board=rpi4 role=worker " + words))
		if err != nil {
			t.Fatal(err)
		}
		keys, err := loginKeys(t.Context(), a)
		got := ""
		if len(keys) == 1 {
			got = keys[0].Line
		}
		if err != nil || got != want || len(keys) > 1 {
			t.Errorf("%q: got %v, %v, want %q", words, fmt.Sprint(keys), err, want)
		}
	}
}
