package module

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Loader loads the modules of an index, each once. It may be used from several goroutines.
type Loader struct {
	*Index
	words Words
	mu    sync.Mutex
	done  map[string]error
}

// NewLoader returns a loader for an index. The command line's parameters for a module come before
// those that it is loaded with, of which the kernel takes the last.
func NewLoader(x *Index, w Words) *Loader {
	return &Loader{Index: x, words: w, done: map[string]error{}}
}

// Match returns the modules that claim a modalias, sorted, except for those that the command line
// blocks.
func (l *Loader) Match(modalias string) []string {
	return slices.DeleteFunc(slices.Clone(l.Index.Match(modalias)), l.words.Blocked)
}

// Release is the running kernel's version, as uname -r prints it.
func Release() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

// Load loads a module by name or alias, its dependencies first. params are its own. A module that
// is loaded already is fine. If a dependency fails the module is tried all the same, and its own
// error is returned.
func (l *Loader) Load(name string, params ...string) error {
	order, err := l.Order(name)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var last error
	for _, m := range order {
		err, done := l.done[m]
		if !done {
			p := l.words.Parameters(m)
			if m == Name(name) {
				p = append(p, params...)
			}
			err = l.insert(m, strings.Join(p, " "))
			l.done[m] = err
		}
		if err != nil {
			last = err
		}
		if m == Name(name) {
			return err
		}
	}
	return last
}

// Coldplug loads what claims a modalias and returns how many modules did.
func (l *Loader) Coldplug(modalias string) (int, error) {
	var errs []error
	found := l.Match(modalias)
	for _, m := range found {
		errs = append(errs, l.Load(m))
	}
	return len(found), errors.Join(errs...)
}

func (l *Loader) insert(name, params string) error {
	// One that another loader has loaded: the initramfs's, before the root was switched. Trying
	// again would have the kernel check its signature for nothing.
	if _, err := os.Stat("/sys/module/" + name + "/initstate"); err == nil {
		return nil
	}
	f, err := os.Open(filepath.Join(l.dir, l.file[name]))
	if err != nil {
		return fmt.Errorf("kernel module %s: %w", name, err)
	}
	defer f.Close()
	flags := 0
	if s := f.Name(); strings.HasSuffix(s, ".xz") || strings.HasSuffix(s, ".gz") || strings.HasSuffix(s, ".zst") {
		flags = unix.MODULE_INIT_COMPRESSED_FILE
	}
	err = unix.FinitModule(int(f.Fd()), params, flags)
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("kernel module %s: %w", name, err)
	}
	return nil
}
