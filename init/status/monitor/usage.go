package monitor

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Usage is what one cgroup uses. Fields are nil where its controller is missing.
type Usage struct {
	Name   string   `json:"name"`             // the service's, or the group's path for what is not ours: kubepods
	Memory *int64   `json:"memory,omitempty"` // bytes, page cache included
	Peak   *int64   `json:"peak,omitempty"`
	Limit  *int64   `json:"limit,omitempty"`
	CPU    *float64 `json:"cpu_seconds,omitempty"`
	Tasks  *int64   `json:"tasks,omitempty"`
}

// UsageOf reads groups below root (/sys/fs/cgroup) and adds up what they use; the limit is that of
// the first.
func UsageOf(name, root string, groups ...string) Usage {
	u := Usage{Name: name}
	for i, group := range groups {
		dir := filepath.Join(root, group)
		u.Memory = sum(u.Memory, number(dir, "memory.current"))
		u.Peak = sum(u.Peak, number(dir, "memory.peak"))
		u.Tasks = sum(u.Tasks, number(dir, "pids.current"))
		u.CPU = sum(u.CPU, cpuSeconds(dir))
		if i == 0 {
			u.Limit = number(dir, "memory.max")
		}
	}
	return u
}

// cpuSeconds is the processor time of a group; nil where the kernel does not count it.
func cpuSeconds(dir string) *float64 {
	for l := range strings.Lines(line(dir, "cpu.stat")) {
		if name, value, _ := strings.Cut(strings.TrimSpace(l), " "); name == "usage_usec" {
			if n, err := strconv.ParseInt(value, 10, 64); err == nil {
				s := float64(n) / 1e6
				return &s
			}
		}
	}
	return nil
}

// sum adds two values; nil is one that is not known.
func sum[T int64 | float64](a, b *T) *T {
	if a == nil {
		return b
	}
	if b == nil {
		return a
	}
	s := *a + *b
	return &s
}

// Groups reads the groups of a node below root (/sys/fs/cgroup): the init's, each service's, and
// what k3s made.
func Groups(root string) []Usage {
	var list []Usage
	add := func(name, group string) {
		if st, err := os.Stat(filepath.Join(root, group)); err == nil && st.IsDir() {
			list = append(list, UsageOf(name, root, group))
		}
	}
	add("init", "init")
	entries, _ := os.ReadDir(filepath.Join(root, "shelf"))
	for _, e := range entries {
		if e.IsDir() {
			add(e.Name(), filepath.Join("shelf", e.Name()))
		}
	}
	for _, name := range []string{"k3s", "kubepods"} {
		add("/"+name, name)
	}
	return list
}

// Used is what one group uses, with its share of the processor between two looks.
type Used struct {
	Usage
	Percent *float64 `json:"cpu_percent,omitempty"` // of one core; nil where it is not known
}

// Between gives what is used now, the largest memory first, with the processor time of the seconds
// that have passed since before.
func Between(before, now []Usage, seconds float64) []Used {
	cpu := map[string]*float64{}
	for _, u := range before {
		cpu[u.Name] = u.CPU
	}
	list := []Used{}
	for _, u := range now {
		row := Used{Usage: u}
		if was := cpu[u.Name]; was != nil && u.CPU != nil && seconds > 0 {
			p := max(0, *u.CPU-*was) / seconds * 100
			row.Percent = &p
		}
		list = append(list, row)
	}
	size := func(u Used) int64 {
		if u.Memory == nil {
			return 0
		}
		return *u.Memory
	}
	slices.SortStableFunc(list, func(a, b Used) int { return cmp.Compare(size(b), size(a)) })
	return list
}

// number reads a control file; "max" and what is not there are nil.
func number(dir, name string) *int64 {
	n, err := strconv.ParseInt(line(dir, name), 10, 64)
	if err != nil {
		return nil
	}
	return &n
}
