package supervise

import (
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"imgbuild/init/base/cgroup"
	"imgbuild/init/contract/config"
)

func TestFromConfig(t *testing.T) {
	got, err := FromConfig("web", config.Service{
		Command: []string{"/usr/local/bin/web", "-v"}, User: "rancher", Directory: "/srv", Environment: map[string]string{"B": "2", "A": "1"},
		Needs: []string{"sshd"}, Ready: config.Ready{TCP: "127.0.0.1:80", Timeout: time.Minute}, Restart: "on-failure", Backoff: 3 * time.Second,
		Memory: 64 << 20, MemoryHigh: 48 << 20, CPU: 50, Pids: 9, StopSignal: "int", StopTimeout: time.Second,
	})
	want := Unit{
		Name: "web", Command: []string{"/usr/local/bin/web", "-v"}, User: "rancher", Dir: "/srv", Env: []string{"A=1", "B=2"},
		Needs: []string{"sshd"}, Ready: Ready{Kind: TCP, Address: "127.0.0.1:80", Timeout: time.Minute}, Restart: OnFailure, Delay: 3 * time.Second,
		Limits: cgroup.Limits{MemoryMax: 64 << 20, MemoryHigh: 48 << 20, CPUMax: 50, PidsMax: 9}, NoFile: userNoFile, Optional: true, StopSignal: syscall.SIGINT, StopTimeout: time.Second,
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\ngot  %+v\nwant %+v", err, got, want)
	}
	for name, r := range map[string]config.Ready{"notify": {Notify: true}, "file": {File: "/x"}, "command": {Command: []string{"x"}}, "none": {}} {
		u, err := FromConfig("x", config.Service{Command: []string{"x"}, Ready: r})
		if kinds := map[string]ReadyKind{"notify": Notify, "file": File, "command": Succeeds, "none": Running}; err != nil || u.Ready.Kind != kinds[name] || u.Restart != Always || u.Limits.PidsMax != userPids {
			t.Errorf("%s: %+v, %v", name, u, err)
		}
	}
	for _, name := range []string{"sshd", "k3s", "wpa_supplicant", "getty-tty1", "crash", "commands"} {
		if _, err := FromConfig(name, config.Service{Command: []string{"x"}}); err == nil || !strings.Contains(err.Error(), "a service or a log of that name") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	for want, c := range map[string]config.Service{
		"no command":          {},
		`restart "sometimes"`: {Command: []string{"x"}, Restart: "sometimes"},
		`stop_signal "SIGX"`:  {Command: []string{"x"}, StopSignal: "SIGX"},
		"readiness by tcp":    {Command: []string{"x"}, Ready: config.Ready{TCP: "80"}},
	} {
		if _, err := FromConfig("x", c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
}
