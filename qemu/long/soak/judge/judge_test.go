package judge

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"imgbuild/init/contract/config"
	"imgbuild/init/supervise"
)

// The judge gives a node a configuration without a fault, the same for the same seed.
func TestServices(t *testing.T) {
	for seed := range uint64(20) {
		units := Rogues(seed, "")
		if !reflect.DeepEqual(units, Rogues(seed, "")) || !reflect.DeepEqual(Some(units, seed), Some(units, seed)) {
			t.Fatalf("seed %d is not the same twice", seed)
		}
		for _, list := range [][]Unit{units, Some(units, seed), nil} {
			text := Services(append(list, Healthy...)...)
			layer, problems := config.Parse("soak.yaml", []byte(text))
			c, more := config.Merge(layer)
			for _, p := range append(append(problems, more...), config.Check(c, config.Facts{Role: "worker"})...) {
				if strings.HasPrefix(p.Key, "services") {
					t.Errorf("seed %d: %s\n%s", seed, p, text)
				}
			}
			if len(c.Services) != len(list)+len(Healthy) {
				t.Errorf("seed %d: %d services of %d\n%s", seed, len(c.Services), len(list)+len(Healthy), text)
			}
			for name, s := range c.Services {
				if _, err := supervise.FromConfig(name, s); err != nil {
					t.Error(err)
				}
			}
		}
	}
	if units := Rogues(1, "flood"); len(units) != 2 {
		t.Errorf("%v, want length 2", units)
	}
}

// The end of a log comes through the shells on its way.
func TestLookAtLogs(t *testing.T) {
	dir := t.TempDir()
	text := strings.Repeat("before\n", 100) + "2026-11-22T17:00:00.000Z \x00after 9 files: too many open files\n"
	if err := os.WriteFile(filepath.Join(dir, "leak.log"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	script := strings.NewReplacer("sudo sh", "sh", "/var/log/shelf", dir, "/proc/1/", "/proc/self/", "shelf status", "true").Replace(look)
	out, _ := exec.CommandContext(t.Context(), "sh", "-c", script).Output() // not all of it is there on every machine
	head, _, _ := strings.Cut(string(out), "\nstatus\n")
	l, err := parse("rss 1\nfds 1\n" + head + "\nstatus\n" + `{"services": [{"name": "leak"}]}`)
	if err != nil {
		t.Fatal(err)
	}
	if got := l.Last["leak"]; !strings.HasSuffix(got, "before 2026-11-22T17:00:00.000Z after 9 files: too many open files") {
		t.Errorf("got %q from\n%s", got, out)
	}
}

func TestSilentNode(t *testing.T) {
	head, _, _ := strings.Cut(shown, "\nstatus\n")
	if _, err := parse(head + "\nstatus\n"); !errors.Is(err, errSilent) {
		t.Errorf("got %v, want errSilent", err)
	}
	if _, err := parse(head + "\nstatus\n{"); err == nil || errors.Is(err, errSilent) {
		t.Errorf("half a status: got %v, want another error", err)
	}
}

const shown = `rss 17912
anon 9000
fds 27
zombies 0
free 2470132
log 300 crash.log
log 1000 crash.log.1
last crash.log 2026-11-22T17:00:00.000Z [shelf] crash ended by itself: exit status 3
group /sys/fs/cgroup/shelf/crash/
status
{"services": [{"name": "sshd", "phase": "ready", "pid": 7, "starts": 1}, {"name": "crash", "phase": "failed", "starts": 9, "failures": 9, "last_exit": "exit status 3"}]}
`

// Each thing that the judge looks at can be wrong, and is named then.
func TestLook(t *testing.T) {
	l, err := parse(shown)
	if err != nil || l.RSS != 17912 || l.Logs["crash"] != 1300 || !reflect.DeepEqual(l.Groups, []string{"crash"}) {
		t.Fatalf("%+v, %v", l, err)
	}
	if idle := l.idle([]Unit{{Name: "crash", Seen: `last=exit status 3`}, {Name: "eat", Seen: `out of memory`}}); len(idle) != 1 || !strings.HasPrefix(idle[0], "eat: ") {
		t.Errorf("%q", idle)
	}
	before := l
	before.Services = map[string]Service{"sshd": l.Services["sshd"]}
	before.Groups = nil
	if bad := l.bounded(before); bad != nil {
		t.Errorf("%q, want nil", bad)
	}
	for want, bend := range map[string]string{
		"PID 1 takes 99999 KiB":           "rss 17912>rss 99999",
		"PID 1 has 300 open files":        "fds 27>fds 300",
		"500 zombies wait for PID 1":      "zombies 0>zombies 500",
		"the log of crash has":            "log 300 crash.log>log 9000000 crash.log",
		"sshd was ":                       `"pid": 7>"pid": 8`,
		"the service crash is left":       "",
		"the control group crash is left": "",
		"PID 1 had 27 open files before":  "fds 27>fds 40",
		"1 zombies are left":              "zombies 0>zombies 1",
		"PID 1 had allocated 9000 KiB":    "anon 9000>anon 13097",
	} {
		from, to, _ := strings.Cut(bend, ">")
		l, err := parse(strings.Replace(shown, from, to, 1))
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(l.rested(before), "\n"); !strings.Contains(got, want) {
			t.Errorf("%s: got %q", want, got)
		}
	}
	for _, text := range []string{"", "status\n{}", "rss 1\nanon 1\nfds 1\nstatus\n{}", "rss 1\nanon 1\nfds 1\nstatus\nshelf: no answer"} {
		if _, err := parse(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}
