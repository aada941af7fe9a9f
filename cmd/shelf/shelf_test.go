package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"imgbuild/init/base/report"
	"imgbuild/init/contract/fault"
	"imgbuild/init/net/mdns"
	"imgbuild/init/status"
	"imgbuild/init/status/health"
	"imgbuild/init/status/monitor"
)

var update = flag.Bool("update", false, "write the overlay's copy of the completion")

// The image has the completion that this program prints.
func TestCompletionIsFresh(t *testing.T) {
	const file = "../../overlays/base/etc/profile.d/shelf-completion.sh"
	want := shelf().Bash()
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != want {
		t.Errorf("%s is not what shelf completion bash prints (%v); run go test ./cmd/shelf -run TestCompletionIsFresh -update", file, err)
	}
}

// Bash takes it, and completes verbs and words.
func TestCompletionInBash(t *testing.T) {
	for words, want := range map[string]string{"shelf stat": "status", "shelf re": "restart report restore rescue reboot reset", "shelf logs -": "-f -n -o", "shelf status -o j": "json", "shelf disk": "disk"} {
		list := strings.Fields(words)
		script := shelf().Bash() + `
COMP_WORDS=(` + strings.Join(list, " ") + `); COMP_CWORD=` + string(rune('0'+len(list)-1)) + `; _shelf; echo "${COMPREPLY[@]}"`
		out, err := exec.Command("bash", "-c", script).CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("%s: %q %v, want %q", words, got, err, want)
		}
	}
}

func TestLogWords(t *testing.T) {
	for in, want := range map[string]string{"": " false 100", "k3s": "k3s false 100", "-f k3s -n 5": "k3s true 5", "k3s -n0": "k3s false 0", "k3s lines=7": "k3s false 7",
		"k3s --follow --lines=3": "k3s true 3", "follow=yes k3s -n -o json": ""} {
		a, err := shelf().Parse(append([]string{"logs"}, strings.Fields(in)...))
		if err != nil {
			t.Errorf("%q: %v", in, err)
			continue
		}
		name, follow, lines, err := logWords(a)
		if got := fmt.Sprint(name, " ", follow, " ", lines); (err != nil) != (want == "") || err == nil && got != want {
			t.Errorf("%q: got %q %v, want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"a b", "-n x", "-n", "-x", "-n -1", "-f -f"} {
		if code := fault.Code(dispatch("shelf", append([]string{"logs"}, strings.Fields(in)...))); code != 2 {
			t.Errorf("%q: got exit code %d, want 2", in, code)
		}
	}
}

// A command line that makes no sense is reported with exit code 2, without a node to ask.
func TestUsage(t *testing.T) {
	for _, words := range []string{"nope", "status now", "services x", "start", "start a b", "logs a b c", "top -x", "config x", "reset no", "reset", "support x", "completion", "completion nosh", "config check try=1", "config apply a b", "reset yes=no", "data format x", "statsu", "dmesg x", "network x"} {
		f := strings.Fields(words)
		if code := fault.Code(dispatch("shelf", f)); code != 2 {
			t.Errorf("shelf %s: exit code %d, want 2", words, code)
		}
	}
	for _, word := range []string{"check", "apply"} { // an empty one would take everything away
		if code := fault.Code(dispatch("shelf", []string{"config", word, os.DevNull})); code != 3 {
			t.Errorf("shelf config %s of nothing: exit code %d, want 3", word, code)
		}
	}
	for words, want := range map[string]int{"upgrade": 2, "nope": 2, "config --nope": 2, "--version": 0, "help": 0, "": 0} {
		if code := fault.Code(dispatch("k3os", strings.Fields(words))); code != want {
			t.Errorf("k3os %s: exit code %d, want %v", words, code, want)
		}
	}
	if err := dispatch("k3os", []string{"upgrade"}); !strings.Contains(err.Error(), "shelf upgrade") || !strings.Contains(err.Error(), "imgbuild upgrade") {
		t.Error(err)
	}
}

// One screen has everything.
func TestStatusText(t *testing.T) {
	yes, now := true, time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	backup, fails := now.Add(-26*time.Hour), 3
	s := status.Status{
		Hostname: "one", Role: "server", Model: "Raspberry Pi 4", Version: "20261121-b92f60b7", Slot: "b", LockAge: 12, Kernel: "6.12",
		Health: health.Bad, Why: []string{"k3s: failed"}, Up: 90061, LastEnd: "power", Record: &status.Record{Active: "b", Trial: "a", Left: 2, A: "empty", B: "good"},
		Services: []status.Service{{Name: "sshd", Phase: "ready", Ready: true}, {Name: "k3s", Phase: "failed", Detail: "status 1", Restarts: 4, Bad: true}},
		Network:  []status.Interface{{Name: "eth0", Line: "eth0: 10.0.0.2/24 by dhcp from 10.0.0.1"}},
		MDNS:     &mdns.Status{Name: "one-2.local", Links: []string{"eth0"}, Taken: "one.local", By: "10.0.0.9"},
		Disks:    []health.Disk{{Path: "/", Size: 100 << 30, Free: 25 << 30}}, Written: &status.Written{Disk: "mmcblk0", Total: 3 << 30, PerDay: 1 << 29},
		Machine: monitor.Machine{Zones: []monitor.Zone{{Type: "cpu-thermal", Celsius: 61}}, UnderVoltage: &yes, Throttled: []monitor.Throttle{{Cause: "heat", On: true}},
			Wear: []monitor.Wear{{Device: "mmcblk1", Life: []monitor.Life{{Cells: "a", Percent: 30}}}}},
		Memory: status.Memory{Total: 4 << 30, Available: 3 << 30}, Load: "0.1 0.2 0.3", Clock: status.Clock{Now: now, Synced: true, Server: "10.0.0.1", Asked: now.Add(-65 * time.Second)}, Backup: &backup, BackupFailures: &fails,
	}
	var b bytes.Buffer
	writeStatus(&b, s)
	for _, want := range []string{"one, server on Raspberry Pi 4", "bad: k3s: failed", "20261121-b92f60b7 in slot b (slot a on trial, 2 attempts left), lock 12 days old", "up 1 d 1 h; the boot before ended with: power",
		"from 10.0.0.1 1 min 5 s ago", "eth0: 10.0.0.2/24 by dhcp", "mdns       one-2.local on eth0: 10.0.0.9 has one.local", "75 GiB of 100 GiB used (75 %)", "30 % of its life", "3.0 GiB written to mmcblk0 in all, 512 MiB a day", "61 °C", "SLOWED DOWN by heat",
		"UNDER-VOLTAGE", "1 d 2 h old; the last attempt failed, 3 in a row", "k3s              failed, restarted 4 times: status 1"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing:\n%s", want, b.String())
		}
	}
	if n := strings.Count(b.String(), "\n"); n > 24 {
		t.Errorf("%d lines are more than a screen", n)
	}
	s.Problems = []report.Problem{{What: strings.Repeat("a long word ", 20), Fix: "look there"}}
	s.Why = []string{strings.Repeat("another reason ", 20)}
	s.Clock = status.Clock{Now: now, Why: "0.pool: no such host; 1.pool: no such host; 2.pool: no such host"}
	b.Reset()
	writeStatus(&b, s)
	screen := string(folded(b.Bytes(), 80))
	for line := range strings.Lines(screen) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	for _, want := range []string{"\n           another", "\n                 long word", "2 more"} {
		if !strings.Contains(screen, want) {
			t.Errorf("%q is missing:\n%s", want, screen)
		}
	}
	if words, whole := strings.Fields(screen), strings.Fields(b.String()); !slices.Equal(words, whole) {
		t.Errorf("folding loses words:\n%s", screen)
	}
	if string(folded(b.Bytes(), 0)) != b.String() {
		t.Error("what a program reads is folded")
	}
}
