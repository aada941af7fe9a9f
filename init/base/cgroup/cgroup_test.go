package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// fake is a directory that looks like a cgroup2 mount, and a record of what was written to it.
// Unprivileged tests cannot have a real one; the real one is exercised by every boot test.
type fake struct {
	t      *testing.T
	tree   *Tree
	writes []string
	refuse map[string]error
}

func newFake(t *testing.T, controllers string, pids ...int) *fake {
	t.Helper()
	root := t.TempDir()
	f := &fake{t: t, refuse: map[string]error{}}
	var list strings.Builder
	for _, pid := range pids {
		list.WriteString(strconv.Itoa(pid) + "\n")
	}
	put(t, filepath.Join(root, "cgroup.controllers"), controllers+"\n")
	put(t, filepath.Join(root, "cgroup.procs"), list.String())
	f.tree = &Tree{root: root, write: func(path, s string) error {
		rel, err := filepath.Rel(root, path)
		if err != nil {
			t.Fatal(err)
		}
		f.writes = append(f.writes, rel+" "+s)
		file, words := rel+" ", strings.Fields(s)
		for _, w := range words { // one that is refused takes the others of its write with it
			if err := f.refuse[file+w]; err != nil {
				return err
			}
		}
		return nil
	}}
	return f
}

func put(t *testing.T, path, s string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(s), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestOpenMovesThenEnables(t *testing.T) {
	f := newFake(t, "cpuset cpu memory pids", 1, 2, 77)
	f.refuse["init/cgroup.procs 2"] = syscall.EINVAL // a kernel thread
	if err := f.tree.prepare(); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"init/cgroup.procs 1", "init/cgroup.procs 2", "init/cgroup.procs 77",
		"cgroup.subtree_control +cpuset +cpu +memory +pids", "shelf/cgroup.subtree_control +cpuset +cpu +memory +pids",
	}
	if !reflect.DeepEqual(f.writes, want) {
		t.Errorf("wrote\n%s\nwant\n%s", strings.Join(f.writes, "\n"), strings.Join(want, "\n"))
	}
	if m := f.tree.Missing(); len(m) != 0 {
		t.Errorf("missing %v, want length 0", m)
	}
}

func TestRefusedControllerIsNamed(t *testing.T) {
	f := newFake(t, "cpuset cpu io pids")
	f.refuse["cgroup.subtree_control +cpu"] = syscall.EINVAL
	if err := f.tree.prepare(); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(f.tree.Missing(), " "); got != "cpu memory" {
		t.Errorf("missing %q", got)
	}
	if got := strings.Join(f.tree.controllers, " "); got != "cpuset io pids" {
		t.Errorf("controllers %q", got)
	}
}

func TestOwnProcessMustMove(t *testing.T) {
	f := newFake(t, "cpu", os.Getpid())
	f.refuse["init/cgroup.procs "+strconv.Itoa(os.Getpid())] = syscall.EBUSY
	if err := f.tree.prepare(); !errors.Is(err, syscall.EBUSY) {
		t.Errorf("got %v", err)
	}
}

func TestOpenWithoutCgroup2(t *testing.T) {
	if _, err := Open(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestLeafLimits(t *testing.T) {
	f := newFake(t, "cpu memory pids")
	if err := f.tree.prepare(); err != nil {
		t.Fatal(err)
	}
	f.writes = nil
	if _, err := f.tree.Leaf("sshd", Limits{MemoryMax: 64 << 20, MemoryHigh: 48 << 20, CPUMax: 150, PidsMax: 100}); err != nil {
		t.Fatal(err)
	}
	want := []string{"shelf/sshd/memory.max 67108864", "shelf/sshd/memory.high 50331648", "shelf/sshd/memory.swap.max 0", "shelf/sshd/memory.oom.group 1", "shelf/sshd/cpu.weight 100", "shelf/sshd/cpu.max 150000 100000", "shelf/sshd/pids.max 100"}
	if !reflect.DeepEqual(f.writes, want) {
		t.Errorf("wrote %q", f.writes)
	}
	// A missing controller matters only to a group that needs it.
	for _, file := range []string{"memory.max max", "memory.high max", "memory.swap.max max", "memory.oom.group 0"} {
		f.refuse["shelf/x/"+file] = fs.ErrNotExist
	}
	f.refuse["shelf/x/memory.max 1"] = fs.ErrNotExist
	if _, err := f.tree.Leaf("x", Limits{}); err != nil {
		t.Error(err)
	}
	if _, err := f.tree.Leaf("x", Limits{MemoryMax: 1}); err == nil {
		t.Error("a limit was lost in silence")
	}
	for _, name := range []string{"", ".", "..", "a/b", "a\nb"} {
		if _, err := f.tree.Leaf(name, Limits{}); err == nil {
			t.Errorf("name %q was accepted", name)
		}
	}
	for _, l := range []Limits{{MemoryMax: -1}, {MemoryHigh: -1}, {CPUWeight: 10001}, {PidsMax: -1}, {CPUMax: -1}} {
		if _, err := f.tree.Leaf("y", l); err == nil {
			t.Errorf("limits %+v were accepted", l)
		}
	}
}

// A group of another program, limited before it exists.
func TestLimitOfAnotherGroup(t *testing.T) {
	f := newFake(t, "cpu memory pids")
	if err := f.tree.prepare(); err != nil {
		t.Fatal(err)
	}
	f.writes = nil
	for range 2 {
		if err := f.tree.Limit("k3s", Limits{MemoryMax: 1 << 20}); err != nil {
			t.Fatal(err)
		}
	}
	if len(f.writes) == 0 || f.writes[0] != "k3s/memory.max 1048576" || !f.tree.Group("k3s").Exists() {
		t.Errorf("wrote %q", f.writes)
	}
}

func TestProcsBelow(t *testing.T) {
	f := newFake(t, "")
	root := f.tree.root
	put(t, filepath.Join(root, "kubepods/cgroup.procs"), "")
	put(t, filepath.Join(root, "kubepods/pod1/cgroup.procs"), "30\n10\n")
	put(t, filepath.Join(root, "kubepods/pod1/c/cgroup.procs"), "20\n0\n")
	pids, err := f.tree.Group("kubepods").Procs()
	if err != nil || !reflect.DeepEqual(pids, []int{10, 20, 30}) {
		t.Errorf("got %v, %v", pids, err)
	}
	if pids, err := f.tree.Group("none").Procs(); err != nil || len(pids) != 0 {
		t.Errorf("a group that is not there: %v, %v, want length 0", pids, err)
	}
	put(t, filepath.Join(root, "kubepods/cgroup.events"), "populated 1\nfrozen 0\n")
	if !f.tree.Group("kubepods").Populated() || f.tree.Group("none").Populated() {
		t.Error("populated is wrong")
	}
}

func TestOOMKills(t *testing.T) {
	f := newFake(t, "")
	put(t, filepath.Join(f.tree.root, "shelf/eater/memory.events"), "low 0\nhigh 7\nmax 12\noom 3\noom_kill 2\noom_group_kill 1\n")
	if n := f.tree.Group("shelf/eater").OOMKills(); n != 2 {
		t.Errorf("%d, want 2", n)
	}
	if n := f.tree.Group("shelf/none").OOMKills(); n != 0 {
		t.Errorf("a group that is not there: %d, want 0", n)
	}
}

// A kernel without cgroup.kill: every process of the group is killed all the same, and of those
// below it, and nobody else.
func TestKillWithoutControlFile(t *testing.T) {
	f := newFake(t, "")
	f.tree.write = writeControl
	g := f.tree.Existing("old")
	var victims []*exec.Cmd
	for range 3 {
		c := exec.Command("sleep", "1000")
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Process.Kill() }()
		victims = append(victims, c)
	}
	put(t, filepath.Join(g.dir, "cgroup.procs"), fmt.Sprintln(victims[0].Process.Pid))
	put(t, filepath.Join(g.dir, "below", "cgroup.procs"), fmt.Sprintln(victims[1].Process.Pid))
	done := make(chan error, 1)
	go func() { done <- g.Kill() }()
	for _, c := range victims[:2] {
		if err := c.Wait(); err == nil || c.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Errorf("it ended with %v", err)
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n, err := f.tree.Existing("nobody").Signal(syscall.SIGKILL); n != 0 || err != nil {
		t.Errorf("a group that is not there: %d, %v, want 0", n, err)
	}
	if err := syscall.Kill(victims[2].Process.Pid, 0); err != nil {
		t.Errorf("a stranger: %v", err)
	}
}
