// Package sysctl reads and writes kernel settings in the form of sysctl.d(5).
package sysctl

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
)

// Dir holds the settings of the image, *.conf in the order of their names.
const Dir = "/usr/lib/sysctl.d"

// Setting is one line. Optional ones may be missing in the kernel.
type Setting struct {
	Name, Value string
	Optional    bool
}

// Path is the setting's file below /proc/sys.
func (s Setting) Path() string { return config.SysctlPath(s.Name) }

// Parse reads "name = value", "-name = value" and comments.
func Parse(text string) ([]Setting, error) {
	var list []Setting
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		name, optional := strings.CutPrefix(strings.TrimSpace(name), "-")
		if !ok || name == "" || strings.ContainsAny(name, " \t*") {
			return nil, fault.New(fault.Input, "write name = value", "line %d is not a kernel setting", i+1)
		}
		list = append(list, Setting{name, strings.TrimSpace(value), optional})
	}
	return list, nil
}

// Apply writes the settings of the files in dir below proc (/proc/sys). One that fails does not
// stop the others.
func Apply(dir, proc string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.conf"))
	if err != nil {
		return err
	}
	var errs []error
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		list, err := Parse(string(text))
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", file, err))
		}
		for _, s := range list {
			errs = append(errs, write(filepath.Join(proc, s.Path()), s))
		}
	}
	return errors.Join(errs...)
}

func write(path string, s Setting) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if s.Optional && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		_, err = f.WriteString(s.Value + "\n")
		err = errors.Join(err, f.Close())
	}
	return fault.Wrap(err, fault.Internal, "", "kernel setting %s", s.Name)
}
