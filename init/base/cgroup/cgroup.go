// Package cgroup builds the cgroup v2 tree of a node and limits and kills what runs in it.
//
// Without systemd nobody else makes this tree, and k3s refuses to start in a wrong one: it wants
// the controllers cpu, cpuset, memory and pids in the root, and it decides from /proc/1/cgroup
// whether it may create its own groups next to ours. So PID 1 and what it started early sit in the
// leaf /init, services in leaves below /shelf, and the root holds nothing but the kernel's own
// threads. k3s then makes /k3s and /kubepods itself.
//
//	/sys/fs/cgroup
//	├── init          PID 1, one-shot commands
//	├── shelf
//	│   ├── sshd      one leaf per unit, with its limits
//	│   └── k3s
//	├── k3s           made by k3s
//	└── kubepods      made by the kubelet
//
// Source: Documentation/admin-guide/cgroup-v2.rst of the kernel.
package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"imgbuild/init/contract/fault"
)

// Root is where cgroup2 is mounted on a node, with MountOptions.
const (
	Root         = "/sys/fs/cgroup"
	MountOptions = "nsdelegate,memory_recursiveprot"
)

// Names of the groups that the init makes below the root.
const (
	initGroup  = "init"
	shelfGroup = "shelf"
)

// Wanted are the controllers without which k3s does not start.
var Wanted = []string{"cpuset", "cpu", "memory", "pids"}

// Tree is a cgroup v2 hierarchy that the init has prepared.
type Tree struct {
	root        string
	controllers []string                          // enabled for the root's children
	write       func(path string, s string) error // replaced by tests; a control file takes one write(2)
}

// Open prepares the hierarchy mounted at root: the leaf init with every process of the root in it,
// the inner group shelf, and every controller that the kernel offers switched on for the children
// of both: in one write, which is many times faster, and one at a time if that is refused, because
// one that the kernel refuses takes the others of the same write with it. Controllers that were not
// available are listed by Missing.
func Open(root string) (*Tree, error) {
	t := &Tree{root: root, write: writeControl}
	return t, t.prepare()
}

func (t *Tree) prepare() error {
	offered, err := os.ReadFile(filepath.Join(t.root, "cgroup.controllers"))
	if err != nil {
		return fault.New(fault.Internal, "mount cgroup2 there first", "no cgroup v2 tree at %s: %w", t.root, err)
	}
	for _, dir := range []string{initGroup, shelfGroup} {
		if err := os.Mkdir(filepath.Join(t.root, dir), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("cgroup: %w", err)
		}
	}
	if err := t.moveAll(); err != nil {
		return err
	}
	t.controllers = nil
	all := strings.Fields(string(offered))
	if together := "+" + strings.Join(all, " +"); len(all) > 0 && t.write(filepath.Join(t.root, "cgroup.subtree_control"), together) == nil {
		if t.write(filepath.Join(t.root, shelfGroup, "cgroup.subtree_control"), together) == nil {
			t.controllers = all
			return nil
		}
	}
	for _, c := range all {
		if t.write(filepath.Join(t.root, "cgroup.subtree_control"), "+"+c) != nil {
			continue
		}
		t.controllers = append(t.controllers, c)
		// A threaded or domain-only controller may be refused further down; the leaf then has no
		// such limit.
		_ = t.write(filepath.Join(t.root, shelfGroup, "cgroup.subtree_control"), "+"+c)
	}
	return nil
}

// moveAll moves what sits in the root to the leaf init. Kernel threads refuse to be moved and may
// stay: the root is exempt from the rule that an inner group holds no processes.
func (t *Tree) moveAll() error {
	pids, err := procs(t.root)
	if err != nil {
		return fmt.Errorf("cgroup: %w", err)
	}
	target := filepath.Join(t.root, initGroup, "cgroup.procs")
	for _, pid := range pids {
		err := t.write(target, strconv.Itoa(pid))
		if err != nil && pid == os.Getpid() {
			return fmt.Errorf("cgroup: moving this process to /%s: %w", initGroup, err)
		}
	}
	return nil
}

// Missing are the controllers that k3s wants and the kernel did not give.
func (t *Tree) Missing() []string {
	var missing []string
	for _, c := range Wanted {
		if !slices.Contains(t.controllers, c) {
			missing = append(missing, c)
		}
	}
	return missing
}

// Group names an existing or future group by its path below the root, such as kubepods, which is
// not ours to limit.
func (t *Tree) Group(path string) *Group {
	return &Group{dir: filepath.Join(t.root, path), write: t.write}
}

// LeafPath is where the group of a unit is below the root.
func LeafPath(name string) string { return filepath.Join(shelfGroup, name) }

// Existing names the leaf of a unit without making it.
func (t *Tree) Existing(name string) *Group { return t.Group(LeafPath(name)) }

// Leaf makes the group shelf/NAME and sets its limits; an existing one gets the new limits.
func (t *Tree) Leaf(name string, l Limits) (*Group, error) {
	if name == "" || strings.ContainsAny(name, "/\x00\n") || name == "." || name == ".." {
		return nil, fmt.Errorf("cgroup: %q is not a name for a group", name)
	}
	g := t.Group(filepath.Join(shelfGroup, name))
	if err := os.Mkdir(g.dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("cgroup: %w", err)
	}
	return g, g.limit(l)
}

// Limit sets the limits of a group that somebody else makes or will make, by its path below the
// root. It is made where it is missing.
func (t *Tree) Limit(path string, l Limits) error {
	g := t.Group(path)
	if err := os.Mkdir(g.dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("cgroup: %w", err)
	}
	return g.limit(l)
}

// writeControl writes a control file in one go; it never creates one.
func writeControl(path, s string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(s)
	return errors.Join(err, f.Close())
}

// procs lists the processes that sit in the directory itself. A group that is gone has none.
func procs(dir string) ([]int, error) {
	data, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENODEV) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, f := range strings.Fields(string(data)) {
		// 0 is a process of another pid namespace: nothing that could be signalled from here.
		if pid, err := strconv.Atoi(f); err == nil && pid > 0 {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}
