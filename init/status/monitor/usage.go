package monitor

import (
	"os"
	"path/filepath"
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

// UsageOf reads the group dir.
func UsageOf(name, dir string) Usage {
	u := Usage{Name: name, Memory: number(dir, "memory.current"), Peak: number(dir, "memory.peak"), Limit: number(dir, "memory.max"), Tasks: number(dir, "pids.current")}
	for l := range strings.Lines(line(dir, "cpu.stat")) {
		if name, value, _ := strings.Cut(strings.TrimSpace(l), " "); name == "usage_usec" {
			if n, err := strconv.ParseInt(value, 10, 64); err == nil {
				s := float64(n) / 1e6
				u.CPU = &s
			}
		}
	}
	return u
}

// Groups reads the groups of a node below root (/sys/fs/cgroup): the init's, each service's, and what k3s made.
func Groups(root string) []Usage {
	var list []Usage
	add := func(name, dir string) {
		if st, err := os.Stat(dir); err == nil && st.IsDir() {
			list = append(list, UsageOf(name, dir))
		}
	}
	add("init", filepath.Join(root, "init"))
	entries, _ := os.ReadDir(filepath.Join(root, "shelf"))
	for _, e := range entries {
		if e.IsDir() {
			add(e.Name(), filepath.Join(root, "shelf", e.Name()))
		}
	}
	for _, name := range []string{"k3s", "kubepods"} {
		add("/"+name, filepath.Join(root, name))
	}
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
