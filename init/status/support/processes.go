package support

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// processes lists what runs, below proc (/proc): number, parent, user, state, resident memory in
// KiB, command line. The kernel's own threads, which have no command line, are left out.
func processes(proc string) []byte {
	var b strings.Builder
	b.WriteString("PID PPID UID STATE RSS COMMAND\n")
	entries, _ := os.ReadDir(proc)
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		words, _ := os.ReadFile(filepath.Join(proc, e.Name(), "cmdline"))
		status, err := os.ReadFile(filepath.Join(proc, e.Name(), "status"))
		if err != nil || len(words) == 0 {
			continue // it has ended meanwhile, or it is the kernel's
		}
		field := map[string]string{}
		for line := range strings.Lines(string(status)) {
			name, value, _ := strings.Cut(line, ":")
			if f := strings.Fields(value); len(f) > 0 {
				field[name] = f[0]
			}
		}
		command := strings.Join(strings.Split(strings.TrimRight(string(words), "\x00"), "\x00"), " ")
		fmt.Fprintf(&b, "%s %s %s %s %s %s\n", e.Name(), field["PPid"], field["Uid"], field["State"], field["VmRSS"], strings.ReplaceAll(command, "\n", " "))
	}
	return []byte(b.String())
}
