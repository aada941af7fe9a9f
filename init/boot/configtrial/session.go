package configtrial

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// sshSession is the process of sshd's that begins with a connection and ends with it, since OpenSSH
// 9.8.
const sshSession = "sshd-session"

// session returns when the ssh connection under which a process runs began, in clock ticks since
// the kernel started; ok is false for a process outside of any. proc is /proc.
func session(proc string, pid int) (ticks uint64, ok bool) {
	for range 64 { // a chain of parents is shorter
		name, parent, start, err := process(proc, pid)
		if err != nil || pid <= 1 {
			break
		}
		if name == sshSession {
			ticks, ok = start, true // the topmost one is the connection's
		}
		pid = parent
	}
	return ticks, ok
}

// process reads name, parent and start of a process: the fields 2, 4 and 22 of proc_pid_stat(5).
// The name may hold anything, brackets too.
func process(proc string, pid int) (name string, parent int, start uint64, err error) {
	data, err := os.ReadFile(filepath.Join(proc, strconv.Itoa(pid), "stat"))
	if err != nil {
		return "", 0, 0, err
	}
	from, to := strings.IndexByte(string(data), '('), strings.LastIndexByte(string(data), ')')
	if from < 0 || to < from {
		return "", 0, 0, fmt.Errorf("process %d: no name", pid)
	}
	f := strings.Fields(string(data[to+1:])) // from field 3 on
	if len(f) < 20 {
		return "", 0, 0, fmt.Errorf("process %d: %d fields", pid, len(f))
	}
	if parent, err = strconv.Atoi(f[1]); err != nil {
		return "", 0, 0, err
	}
	start, err = strconv.ParseUint(f[19], 10, 64)
	return string(data[from+1 : to]), parent, start, err
}
