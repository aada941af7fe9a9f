package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Words after the host belong to the node, except for the keys of the connection.
func TestNodeWords(t *testing.T) {
	a, err := program().Parse(strings.Fields("node n1 logs k3s -f -n 5 output=json key=accept-new --dump user=me"))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(a.Operands, " "); got != "n1 logs k3s -f -n 5 output=json --dump" || a.Values["key"] != "accept-new" || a.Values["user"] != "me" {
		t.Errorf("%q %v", got, a.Values)
	}
	for _, bad := range []string{"node -x n1 status", "node output=json n1 status", "run n1 -f"} {
		if _, err := program().Parse(strings.Fields(bad)); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

// Completion after a host offers the node's verbs.
func TestShelfVerbs(t *testing.T) {
	text, err := os.ReadFile("../../overlays/base/etc/profile.d/shelf-completion.sh") // which cmd/shelf's tests hold against its verbs
	if err != nil {
		t.Fatal(err)
	}
	if want := `words="` + strings.Join(shelfVerbs, " ") + `"`; !strings.Contains(string(text), want) {
		t.Errorf("the node has other verbs than %s", want)
	}
}

// A configuration given to the node's verb gets there; nothing else is read.
func TestNodeInput(t *testing.T) {
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for words, reads := range map[string]bool{"config check": true, "config apply try=120": true, "config apply -": true, "config check -o json": true, "config check -o json a.yaml": false, "config check /etc/x.yaml": false, "config": false, "config reload": false, "logs k3s": false} {
		if in, err := nodeInput(strings.Fields(words), f); err != nil || (in != nil) != reads {
			t.Errorf("%s: %v %v", words, in, err)
		}
	}
}

func TestCompletionInBash(t *testing.T) {
	for words, want := range map[string]string{
		"imgbuild comp":                  "completion",
		"imgbuild board = rpi":           "rpi-zero2w rpi3 rpi4",
		"imgbuild validate x output = j": "json",
		"imgbuild role =":                "router server storage worker",
		"imgbuild node h1 stat":          "status",
		"imgbuild node h1 status key":    "key=",
	} {
		list := strings.Fields(words)
		script := program().Bash() + `
COMP_WORDS=(` + strings.Join(list, " ") + `); COMP_CWORD=$((${#COMP_WORDS[@]}-1)); cd /; _imgbuild; echo "${COMPREPLY[@]}"`
		out, err := exec.Command("bash", "-c", script).CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("%s: %q %v, want %q", words, got, err, want)
		}
	}
}
