// Package logs answers for the logs of everything that runs on the node, and the kernel's.
package logs

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"imgbuild/init/contract/fault"
	"imgbuild/init/status/control"
	"imgbuild/init/supervise"

	"golang.org/x/sys/unix"
)

// Logs are those of a node.
type Logs struct {
	Dir      string // of NAME.log
	Units    *supervise.Supervisor
	Commands *supervise.Log // of init_cmd, boot_cmd and run_cmd
}

// Answer returns the newest lines of a log, and those to come if follow is set. Args: name, lines
// (0 is all), follow.
func (l Logs) Answer(r control.Request) (any, error) {
	name := r.Args["name"]
	count, err := strconv.Atoi(r.Args["lines"])
	if err != nil || count < 0 {
		return nil, fault.New(fault.Usage, "give a number of lines", "%q is not a number of lines", r.Args["lines"])
	}
	log := l.Units.Log(name)
	if log == nil && name == "commands" {
		log = l.Commands
	}
	files := logFiles(l.Dir, name)
	if log == nil && len(files) == 0 {
		return nil, fault.New(fault.Usage, "there are "+strings.Join(l.Names(), ", "), "there is no log of %q", name)
	}
	return control.Flow(func(ctx context.Context, w io.Writer) error {
		var ring []byte
		var lines <-chan []byte
		if log != nil {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			ring, lines = log.TailFollow(ctx)
		}
		if _, err := w.Write(newest(ring, files, count)); err != nil || r.Args["follow"] == "" || lines == nil {
			return err
		}
		for line := range lines {
			if _, err := w.Write(line); err != nil {
				return err
			}
		}
		return nil
	}), nil
}

// Names lists every log there is: of services, of commands, and of services that are no more.
func (l Logs) Names() []string {
	names := []string{"commands"}
	for _, st := range l.Units.Status() {
		names = append(names, st.Name)
	}
	paths, _ := filepath.Glob(filepath.Join(l.Dir, "*.log"))
	for _, p := range paths {
		names = append(names, strings.TrimSuffix(filepath.Base(p), ".log"))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// logFiles returns the files of a log, the oldest first.
func logFiles(dir, name string) []string {
	if name == "" || strings.ContainsAny(name, "/*?[\\") || name[0] == '.' {
		return nil
	}
	var files []string
	for i := supervise.DefaultLogLimits.Keep; i >= 0; i-- {
		path := filepath.Join(dir, name+".log")
		if i > 0 {
			path += "." + strconv.Itoa(i)
		}
		if _, err := os.Stat(path); err == nil {
			files = append(files, path)
		}
	}
	return files
}

// newest returns the last count lines, 0 for all, of a log: what memory holds of it, and before
// that what only the files hold. Lines begin with their time, which shows where memory takes over.
func newest(ring []byte, files []string, count int) []byte {
	have := bytes.Count(ring, []byte("\n"))
	var parts [][]byte
	for _, path := range slices.Backward(files) {
		if count > 0 && have >= count {
			break
		}
		data, err := os.ReadFile(path) // at most supervise.DefaultLogLimits.Size
		if err != nil {
			continue
		}
		if first, _, ok := bytes.Cut(ring, []byte(" ")); ok {
			data = before(data, first)
		}
		parts = append(parts, data)
		have += bytes.Count(data, []byte("\n"))
	}
	slices.Reverse(parts)
	return lastLines(slices.Concat(append(parts, ring)...), count)
}

// before cuts lines off at the first that is not older than a time, which is text of a form that
// sorts.
func before(data, when []byte) []byte {
	end := 0
	for line := range bytes.Lines(data) {
		if t, _, _ := bytes.Cut(line, []byte(" ")); bytes.Compare(t, when) >= 0 {
			break
		}
		end += len(line)
	}
	return data[:end]
}

// lastLines is the end of b, count lines of it; 0 is all.
func lastLines(b []byte, count int) []byte {
	if count <= 0 {
		return b
	}
	for i := len(b) - 2; i >= 0; i-- { // the last byte is the end of the last line
		if b[i] == '\n' {
			if count--; count == 0 {
				return b[i+1:]
			}
		}
	}
	return b
}

// Dmesg returns the kernel's messages as they are in its buffer, as lines "<level>[seconds] text".
func Dmesg() (any, error) {
	size, err := unix.Klogctl(unix.SYSLOG_ACTION_SIZE_BUFFER, nil)
	if err != nil {
		return nil, fmt.Errorf("the kernel's messages: %w", err)
	}
	return control.Flow(func(_ context.Context, w io.Writer) error {
		buf := make([]byte, size)
		got, err := unix.Klogctl(unix.SYSLOG_ACTION_READ_ALL, buf)
		if err != nil {
			return err
		}
		_, err = w.Write(buf[:got])
		return err
	}), nil
}
