package monitor

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// What people run over ssh is not sshd's; a process that ends meanwhile counts for neither.
func TestWithLogins(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	process := func(pid, parent int, name string, kib, ticks, threads int) {
		put(fmt.Sprintf("proc/%d/stat", pid), fmt.Sprintf("%d (%s) S %d 0 0 0 -1 0 0 0 0 0 %d 0 0 0 20 0 %d 0 9\n", pid, name, parent, ticks, threads))
		put(fmt.Sprintf("proc/%d/status", pid), fmt.Sprintf("Name:\tx\nRssAnon:\t%8d kB\nRssFile:\t 999 kB\n", kib))
	}
	process(10, 1, "sshd", 500, 20, 1)
	process(11, 10, "sshd-session", 100, 10, 1)
	process(12, 11, "a ) b", 900, 200, 3)
	process(13, 1, "tmux", 24, 0, 1) // left behind by a session, and a child of PID 1 since
	put("shelf/sshd/cgroup.procs", "10\n11\n12\n13\n14\n")
	num := func(n int64) *int64 { return &n }
	sec := 5.0
	all := []Usage{{Name: "init"}, {Name: "sshd", Memory: num(4 << 20), CPU: &sec, Tasks: num(6), Limit: num(7)}, {Name: "k3s"}}
	got := WithLogins(all, dir, filepath.Join(dir, "proc"))
	if len(got) != 4 || got[2].Name != Logins || got[3].Name != "k3s" {
		t.Fatalf("got %+v, want a row of logins after sshd", got)
	}
	if s, l := got[1], got[2]; *s.Memory != 3<<20 || *s.Tasks != 1 || *s.CPU > 2.91 || *s.CPU < 2.89 || *s.Limit != 7 || *l.Memory != 1<<20 || *l.Tasks != 5 || *l.CPU != 2.1 {
		t.Errorf("got sshd %d, %d, %v and logins %d, %d, %v", *s.Memory, *s.Tasks, *s.CPU, *l.Memory, *l.Tasks, *l.CPU)
	}
	if *all[1].Memory != 4<<20 {
		t.Error("the caller's usage was changed")
	}
	put("shelf/sshd/cgroup.procs", "10\n14\n")
	if got := WithLogins(all, dir, filepath.Join(dir, "proc")); len(got) != 3 || *got[1].Tasks != 6 {
		t.Errorf("without a session: got %+v, want the same", got)
	}
	if got := WithLogins(all[:1], dir, filepath.Join(dir, "proc")); len(got) != 1 {
		t.Errorf("without sshd: got %+v, want the same", got)
	}
}
