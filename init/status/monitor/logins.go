package monitor

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Logins is the row of what people run over ssh.
const Logins = "logins"

// WithLogins takes the login sessions out of the usage of sshd, in whose group they are, and adds
// them as a row of their own: all of the group's processes except for the one that listens. Their
// memory is what is theirs alone (RssAnon of /proc/PID/status). Without a session the usage stays
// as it is. root is /sys/fs/cgroup, proc is /proc.
func WithLogins(all []Usage, root, proc string) []Usage {
	at := slices.IndexFunc(all, func(u Usage) bool { return u.Name == "sshd" })
	if at < 0 {
		return all
	}
	var memory, tasks int64
	var cpu float64
	some := false
	for _, pid := range strings.Fields(line(filepath.Join(root, "shelf/sshd"), "cgroup.procs")) {
		p, ok := processOf(filepath.Join(proc, pid))
		if !ok || p.listener {
			continue
		}
		some = true
		memory, tasks, cpu = memory+p.memory, tasks+p.tasks, cpu+p.cpu
	}
	if !some {
		return all
	}
	all = slices.Clone(all)
	sshd := &all[at]
	sshd.Memory = less(sshd.Memory, memory)
	sshd.Tasks = less(sshd.Tasks, tasks)
	sshd.CPU = less(sshd.CPU, cpu)
	return slices.Insert(all, at+1, Usage{Name: Logins, Memory: &memory, CPU: &cpu, Tasks: &tasks})
}

// less is a value without a part of it, and not below zero; nil stays nil.
func less[T int64 | float64](all *T, part T) *T {
	if all == nil {
		return nil
	}
	rest := max(0, *all-part)
	return &rest
}

// process is what a process uses.
type process struct {
	listener      bool // the daemon that PID 1 started
	memory, tasks int64
	cpu           float64 // seconds
}

// ticks are those of a second in /proc/PID/stat (USER_HZ), the same on every architecture here.
const ticks = 100

// processOf reads /proc/PID; a process that has ended is not ok.
func processOf(dir string) (p process, ok bool) {
	data, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return p, false
	}
	head, rest, found := strings.Cut(string(data), ") ") // the name may hold blanks; proc(5)
	if i := strings.LastIndex(string(data), ") "); found {
		head, rest = string(data[:i]), string(data[i+2:])
	}
	f := strings.Fields(rest) // from field 3 on
	if !found || len(f) < 18 {
		return p, false
	}
	value := func(field int) int64 {
		n, _ := strconv.ParseInt(f[field-3], 10, 64)
		return n
	}
	p.listener = value(4) == 1 && strings.HasSuffix(head, "(sshd")
	p.cpu = float64(value(14)+value(15)) / ticks
	p.tasks = value(20)
	text, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return p, false
	}
	for l := range strings.Lines(string(text)) {
		if rest, is := strings.CutPrefix(l, "RssAnon:"); is {
			kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			p.memory = kib << 10
		}
	}
	return p, true
}
