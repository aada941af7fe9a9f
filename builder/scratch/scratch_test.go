package scratch

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestMain is also the process that is killed: it makes what it is asked to make and waits.
func TestMain(m *testing.M) {
	if parent := os.Getenv("SCRATCH_PARENT"); parent != "" {
		d, err := NewDir(parent, "killed")
		if err == nil {
			err = os.WriteFile(filepath.Join(d.Path, "secret"), []byte("x"), 0o600)
		}
		if err == nil {
			_, err = NewFile(parent, "killed")
		}
		if err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		os.Stdout.WriteString("made\n")
		os.Stdin.Read(make([]byte, 1))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func entries(t *testing.T, dir string) (names []string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

// TestSweep: what a running process holds stays, what a killed one held goes, what is not ours
// stays.
func TestSweep(t *testing.T) {
	parent := t.TempDir()
	if err := os.WriteFile(filepath.Join(parent, "theirs"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(parent, filepath.Join(parent, Mark+"link")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "SCRATCH_PARENT="+parent)
	cmd.Stderr = os.Stderr
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("%q %v", line, err)
	}
	mine, err := NewDir(parent, "mine")
	if err != nil {
		t.Fatal(err)
	}
	Sweep(parent)
	if got := entries(t, parent); len(got) != 5 {
		t.Errorf("something that is held was swept: %v", got)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	Sweep(parent)
	if got := entries(t, parent); len(got) != 3 {
		t.Errorf("after the kill there are %v, want the link, ours and theirs", got)
	}
	if err := mine.Remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(mine.Path); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", mine.Path, err)
	}
}
