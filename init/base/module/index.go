// Package module loads kernel modules: what depmod indexed, in dependency order, by name or by a
// device's modalias.
//
// The node has no udev, and its initramfs has no modprobe, so softdeps (which name crypto aliases
// such as crypto-crc32c) are resolved here; see modules.dep(5), modprobe.d(5) and the kernel's
// Documentation/ABI/testing/sysfs-bus-usb for the shape of a modalias.
package module

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Index is what depmod wrote for one kernel: modules.dep, modules.alias, modules.softdep,
// modules.builtin.
type Index struct {
	dir     string              // .../lib/modules/VERSION
	file    map[string]string   // canonical name -> path relative to dir
	deps    map[string][]string // canonical name -> canonical names, nearest first
	pre     map[string][]string // softdep pre, as written: names or aliases
	post    map[string][]string
	builtin map[string]bool
	alias   patterns
}

// Open reads the index in dir. A missing modules.dep is an error, the other files may be missing.
func Open(dir string) (*Index, error) {
	x := &Index{dir: dir, file: map[string]string{}, deps: map[string][]string{}, pre: map[string][]string{}, post: map[string][]string{}, builtin: map[string]bool{}}
	if err := lines(filepath.Join(dir, "modules.dep"), x.dep); err != nil {
		return nil, fmt.Errorf("kernel modules: %w", err)
	}
	for name, line := range map[string]func(string){"modules.alias": x.aliasLine, "modules.softdep": x.softdep, "modules.builtin": x.built} {
		if err := lines(filepath.Join(dir, name), line); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("kernel modules: %w", err)
		}
	}
	x.alias.sort()
	return x, nil
}

func lines(path string, each func(string)) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		if line := s.Text(); line != "" && line[0] != '#' {
			each(line)
		}
	}
	return s.Err()
}

// Name is the canonical name of a module: of a path, a name with dashes or a file name.
func Name(s string) string {
	s = filepath.Base(s)
	for _, suffix := range []string{".xz", ".gz", ".zst", ".ko"} {
		s = strings.TrimSuffix(s, suffix)
	}
	return strings.ReplaceAll(s, "-", "_")
}

func (x *Index) dep(line string) {
	path, rest, ok := strings.Cut(line, ":")
	if !ok {
		return
	}
	name := Name(path)
	x.file[name] = path
	for _, d := range strings.Fields(rest) {
		x.deps[name] = append(x.deps[name], Name(d))
	}
}

func (x *Index) aliasLine(line string) {
	if f := strings.Fields(line); len(f) == 3 && f[0] == "alias" {
		x.alias.add(f[1], Name(f[2]))
	}
}

func (x *Index) softdep(line string) {
	f := strings.Fields(line)
	if len(f) < 2 || f[0] != "softdep" {
		return
	}
	name, into := Name(f[1]), x.pre
	for _, word := range f[2:] {
		switch word {
		case "pre:":
			into = x.pre
		case "post:":
			into = x.post
		default:
			into[name] = append(into[name], word)
		}
	}
}

func (x *Index) built(line string) { x.builtin[Name(line)] = true }

// Has reports whether a module file of that name is in the index.
func (x *Index) Has(name string) bool { _, ok := x.file[Name(name)]; return ok }

// In reports whether the module is below a directory of the kernel's tree such as
// drivers/watchdog.
func (x *Index) In(name, dir string) bool {
	return strings.HasPrefix(x.file[Name(name)], "kernel/"+strings.Trim(dir, "/")+"/")
}

// Match returns the modules that claim a modalias, sorted; none is not an error.
func (x *Index) Match(modalias string) []string { return x.alias.match(modalias) }

// Order returns the modules to load, in order, for one module name or alias: softdeps first, then
// dependencies, the module, and what it asks to be loaded after it. Names that are built into the
// kernel give nothing. Softdeps that cannot be found are left out, for they are wishes. A name that
// is neither module nor alias nor built in is an error.
func (x *Index) Order(name string) ([]string, error) {
	var out []string
	seen := map[string]bool{}
	var visit func(name string) bool
	visit = func(name string) bool {
		canon := Name(name)
		if _, ok := x.file[canon]; !ok {
			if x.builtin[canon] {
				return true
			}
			found := x.Match(name)
			for _, m := range found {
				if m != canon {
					visit(m)
				}
			}
			return len(found) > 0
		}
		if seen[canon] {
			return true
		}
		seen[canon] = true
		for _, d := range x.pre[canon] {
			visit(d)
		}
		// modules.dep lists the nearest dependency first; the farthest has to be loaded first.
		for i := len(x.deps[canon]) - 1; i >= 0; i-- {
			visit(x.deps[canon][i])
		}
		out = append(out, canon)
		for _, d := range x.post[canon] {
			visit(d)
		}
		return true
	}
	if !visit(name) {
		return nil, fmt.Errorf("kernel module %s: %w in %s", name, fs.ErrNotExist, x.dir)
	}
	return out, nil
}
