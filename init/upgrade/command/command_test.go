package command

import (
	"context"
	"path/filepath"
	"runtime/debug"
	"testing"

	"imgbuild/init/contract/dialogue"
	"imgbuild/init/contract/fault"

	"golang.org/x/sys/unix"
)

// One upgrade at a time; a process that ends lets go.
func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := lock(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock(path); fault.Code(err) != int(fault.Unhealthy) {
		t.Errorf("locked twice: %v, want code %v", err, int(fault.Unhealthy))
	}
	unlock()
	if unlock, err = lock(path); err != nil {
		t.Fatal(err)
	}
	unlock()
	if _, err := lock(filepath.Join(path, "x")); fault.Code(err) != int(fault.Usage) {
		t.Errorf("got %v", err)
	}
}

func TestStopAt(t *testing.T) {
	ask := stopAt(dialogue.StepArm)
	for step, want := range map[string]bool{dialogue.StepWrite: true, dialogue.StepArm: false, dialogue.StepReboot: true} {
		if err := ask(context.Background(), step); (err == nil) != want {
			t.Errorf("%s: got %v", step, err)
		}
	}
}

// The kernel has this process in the idle class, and the runtime its limit.
func TestFrugal(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	Frugal()
	if got := debug.SetMemoryLimit(-1); got != memory {
		t.Errorf("the memory limit is %d, want %d", got, memory)
	}
	got, _, errno := unix.Syscall(unix.SYS_IOPRIO_GET, ioprioWhoProcess, 0, 0)
	if errno != 0 || got>>ioprioClassShift != ioprioIdle {
		t.Errorf("the class is %d, want %d (%v)", got>>ioprioClassShift, ioprioIdle, errno)
	}
}
