package configtrial

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestSession(t *testing.T) {
	proc := t.TempDir()
	add := func(pid int, name string, parent, start int) {
		t.Helper()
		dir := filepath.Join(proc, fmt.Sprint(pid))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		stat := fmt.Sprintf("%d (%s) S %d 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 %d 9 9 9\n", pid, name, parent, start)
		if err := os.WriteFile(filepath.Join(dir, "stat"), []byte(stat), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	add(1, "init", 0, 1)
	add(50, "sshd", 1, 300)
	add(100, "sshd-session", 50, 5000)
	add(101, "sshd-session", 100, 5010)
	add(102, "bash", 101, 5020)
	add(103, "a) b (c", 102, 5030) // any name
	add(104, "shelf", 103, 9000)
	add(200, "bash", 1, 400)
	for pid, want := range map[int]uint64{104: 5000, 102: 5000, 100: 5000, 200: 0, 50: 0, 1: 0, 999: 0} {
		got, ok := session(proc, pid)
		if got != want || ok != (want != 0) {
			t.Errorf("process %d: %d %v, want %d", pid, got, ok, want)
		}
	}
}
