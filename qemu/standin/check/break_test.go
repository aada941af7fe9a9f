package check

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// breakers are the words of facts.txt's fourth column: each spoils one thing of a fixture.
var breakers = map[string]func(t *testing.T, h *Host, args []string){
	"rm":     func(t *testing.T, h *Host, a []string) { must(t, os.RemoveAll(h.path(a[0]))) },                         // FILE
	"write":  func(t *testing.T, h *Host, a []string) { must(t, os.WriteFile(h.path(a[0]), []byte(a[1]), 0)) },        // FILE TEXT
	"append": func(t *testing.T, h *Host, a []string) { edit(t, h, a[0], func(s string) string { return s + a[1] }) }, // FILE TEXT
	"sub": func(t *testing.T, h *Host, a []string) { // FILE OLD NEW
		edit(t, h, a[0], func(s string) string { return strings.ReplaceAll(s, a[1], a[2]) })
	},
	"chmod": func(t *testing.T, h *Host, a []string) { // FILE 0644
		must(t, os.Chmod(h.path(a[0]), 0o644))
	},
	"link": func(t *testing.T, h *Host, a []string) { // FILE TARGET
		must(t, os.Remove(h.path(a[0])))
		must(t, os.MkdirAll(h.path(a[1]), 0o755))
		must(t, os.Symlink(a[1], h.path(a[0])))
	},
	"env": func(t *testing.T, h *Host, a []string) { // NAME: unset
		old := h.Getenv
		h.Getenv = func(name string) string {
			if name == a[0] {
				return ""
			}
			return old(name)
		}
	},
	"clock": func(t *testing.T, h *Host, a []string) { // DATE
		now, err := time.Parse(time.DateOnly, a[0])
		must(t, err)
		h.Now = func() time.Time { return now }
	},
	"fail": func(t *testing.T, h *Host, a []string) { // WORD: commands with this word in them fail; delegate: the kernel says no
		refused := errors.New("exit status 4: CHAIN_ADD failed (No such file or directory)")
		if a[0] == "delegate" {
			h.Delegate = func([]string) error { return refused }
			return
		}
		old := h.Run
		h.Run = func(argv ...string) (string, error) {
			if slices.ContainsFunc(argv, func(arg string) bool { return strings.Contains(arg, a[0]) }) {
				return "", refused
			}
			return old(argv...)
		}
	},
	"says": func(t *testing.T, h *Host, a []string) { // PROGRAM TEXT
		h.Run = func(argv ...string) (string, error) { return a[1], nil }
	},
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// edit changes a file and insists that it did.
func edit(t *testing.T, h *Host, name string, change func(string) string) {
	t.Helper()
	old, err := h.read(name)
	must(t, err)
	changed := change(old)
	if changed == old {
		t.Fatalf("the breaker changes nothing in %s", name)
	}
	must(t, os.WriteFile(h.path(name), []byte(changed), 0o600))
}

// spoil applies a fact's breaker; \n and \t stand for themselves in its arguments.
func spoil(t *testing.T, h *Host, f Fact) {
	t.Helper()
	b := breakers[f.Break[0]]
	if b == nil {
		t.Fatalf("%s: unknown breaker %q", f.ID, f.Break[0])
	}
	args := slices.Clone(f.Break[1:])
	for i := range args {
		args[i] = strings.NewReplacer(`\n`, "\n", `\t`, "\t").Replace(args[i])
	}
	b(t, h, args)
}

func load(t *testing.T, h *Host) {
	t.Helper()
	c, err := LoadConfig(h.Root, nil, nil)
	must(t, err)
	h.Config = c
}

func TestEverythingHoldsOnAGoodNode(t *testing.T) {
	for _, role := range []string{"server", "agent"} {
		h := fixture(t, role)
		load(t, h)
		failed, held, err := Run(h)
		must(t, err)
		for _, f := range failed {
			t.Errorf("%s: %v", role, f)
		}
		if held < 60 {
			t.Errorf("%s: only %d facts were looked at", role, held)
		}
	}
}

// TestEachFactCanFail breaks one thing at a time; the fact must be named. Others may be too: a fact that needs another one.
func TestEachFactCanFail(t *testing.T) {
	all, err := Facts()
	must(t, err)
	for _, fact := range all {
		t.Run(fact.ID, func(t *testing.T) {
			role := fact.Roles
			if role == "all" {
				role = "agent"
			}
			h := fixture(t, role)
			spoil(t, h, fact)
			load(t, h)
			failed, _, err := Run(h)
			must(t, err)
			i := slices.IndexFunc(failed, func(f Failure) bool { return f.Fact.ID == fact.ID })
			if i < 0 {
				t.Fatalf("not noticed: %q; failed instead: %v", fact.Break, failed)
			}
			if !strings.HasPrefix(failed[i].Error(), "FAIL "+fact.ID+": ") {
				t.Errorf("it does not say which fact: %v", failed[i])
			}
		})
	}
}

// TestEachWordIsUsed keeps probes and breakers honest: a word that no line uses is dead code.
func TestEachWordIsUsed(t *testing.T) {
	all, err := Facts()
	must(t, err)
	for name := range probes {
		if !slices.ContainsFunc(all, func(f Fact) bool { return f.Probe[0] == name }) {
			t.Errorf("no line uses the probe %s", name)
		}
	}
	for name := range breakers {
		if !slices.ContainsFunc(all, func(f Fact) bool { return f.Break[0] == name }) {
			t.Errorf("no line uses the breaker %s", name)
		}
	}
}

func TestBadLines(t *testing.T) {
	for name, text := range map[string]string{
		"no why":     "a | all | env PATH | env PATH |",
		"no breaker": "a | all | env PATH |  | because",
		"probe":      "a | all | smell PATH | env PATH | because",
		"role":       "a | worker | env PATH | env PATH | because",
		"twice":      "a | all | env PATH | env PATH | because\na | all | env PATH | env PATH | because",
	} {
		if _, err := parse(text); err == nil || !strings.Contains(err.Error(), "facts.txt:") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestConfigMerge: k3s' own rules of config.yaml and its drop-ins.
func TestConfigMerge(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "etc/rancher/k3s/config.yaml.d")
	must(t, os.MkdirAll(dir, 0o755))
	for name, text := range map[string]string{
		"../config.yaml": "node-name: mine\nnode-label: [a=1]\ndisable: [traefik]\nwrite-kubeconfig-mode: \"0644\"\n",
		"10-k3os.yaml":   "node-name: theirs\nnode-label+: [b=2]\ndisable: [servicelb]\n",
		"20-more.yaml":   "server: https://a:6443\n",
		"30-not.txt":     "server: https://b:6443\n",
	} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	c, err := LoadConfig(root, []string{"--node-taint", "x=y:NoSchedule", "--server=https://c:6443", "--cluster-init"}, map[string]string{"K3S_TOKEN_FILE": "/t"})
	must(t, err)
	for key, want := range map[string][]string{
		"node-name": {"theirs"}, "node-label": {"a=1", "b=2"}, "disable": {"servicelb"}, "server": {"https://c:6443"},
		"node-taint": {"x=y:NoSchedule"}, "cluster-init": {"true"}, "token-file": {"/t"}, "write-kubeconfig-mode": {"0644"},
	} {
		if !slices.Equal(c[key], want) {
			t.Errorf("%s is %q, want %q", key, c[key], want)
		}
	}
	must(t, os.WriteFile(filepath.Join(dir, "20-more.yaml"), []byte("server: [a: b\n"), 0o600))
	if _, err := LoadConfig(root, nil, nil); err == nil {
		t.Error("a broken drop-in is taken")
	}
}
