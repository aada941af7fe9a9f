package kmod

import (
	"errors"
	"fmt"
	"io"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"

	"imgbuild/init/contract/fnmatch"
)

// File is one module of a kernel package.
type File struct {
	Path string // below lib/modules/VERSION, perhaps compressed: kernel/fs/ext4/ext4.ko.xz
	Open func() (io.ReadCloser, error)
}

// Lists are the files of a kernel package next to its modules; each may be empty.
type Lists struct {
	Builtin        []byte // modules.builtin: paths of what is built in
	BuiltinModinfo []byte // modules.builtin.modinfo: NAME.KEY=VALUE strings that end in NUL
	Order          []byte // modules.order: which of two modules with one alias goes first
}

// Set is all modules of one kernel. A file is opened and read when something is asked of it, once:
// to read all of Debian's 4,350 takes ten seconds, a worker needs 800.
type Set struct {
	lists   Lists
	order   map[string]int // by path
	byName  map[string]*entry
	entries []*entry // sorted by path
	builtin map[string]bool
	aliases []builtinAlias
}

type entry struct {
	file File
	once sync.Once
	m    Module
	err  error
}

func (e *entry) module() (Module, error) {
	e.once.Do(func() {
		data, err := slurp(e.file)
		if err != nil {
			e.err = fmt.Errorf("kernel module %s: %w", e.file.Path, err)
			return
		}
		e.m, e.err = Read(e.file.Path, data)
	})
	return e.m, e.err
}

func slurp(f File) ([]byte, error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(r, moduleMax))
	return data, errors.Join(err, r.Close())
}

// NewSet makes a set of the modules among files; other files are left out. Two modules with one
// name are an error.
func NewSet(files []File, lists Lists) (*Set, error) {
	s := &Set{lists: lists, order: map[string]int{}, byName: map[string]*entry{}, builtin: map[string]bool{}}
	for _, f := range files {
		if !strings.HasSuffix(PlainPath(f.Path), ".ko") {
			continue
		}
		name := NameOf(f.Path)
		if other := s.byName[name]; other != nil {
			return nil, fmt.Errorf("kernel modules: %s and %s are both named %s", other.file.Path, f.Path, name)
		}
		e := &entry{file: f}
		s.byName[name] = e
		s.entries = append(s.entries, e)
	}
	slices.SortFunc(s.entries, func(a, b *entry) int { return strings.Compare(a.file.Path, b.file.Path) })
	for i, line := range strings.Fields(string(lists.Order)) {
		s.order[line] = i
	}
	for _, line := range strings.Fields(string(lists.Builtin)) {
		s.builtin[NameOf(line)] = true
	}
	s.aliases = builtinAliases(lists.BuiltinModinfo)
	return s, nil
}

func readAll(entries []*entry) ([]Module, error) {
	work := make(chan *entry)
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(entries)) {
		wg.Go(func() {
			for e := range work {
				e.module()
			}
		})
	}
	for _, e := range entries {
		work <- e
	}
	close(work)
	wg.Wait()
	mods := make([]Module, 0, len(entries))
	for _, e := range entries {
		m, err := e.module()
		if err != nil {
			return nil, err
		}
		mods = append(mods, m)
	}
	return mods, nil
}

// File returns a module's file by its name.
func (s *Set) File(name string) (File, bool) {
	e := s.byName[underscores(name)]
	if e == nil {
		return File{}, false
	}
	return e.file, true
}

// Closure returns the modules that names mean, and all that these need: by depends, and by pre
// and post softdeps as modprobe follows them. A name is a module's or an alias ("crypto-crc32c",
// "of:N*T*Cbrcm,bcm2835-pm-wdt"); what is built in resolves to nothing. missing holds the names
// that are neither, and modules that others depend on and that do not exist, sorted; a softdep that
// leads nowhere is left out, as modprobe does. The modules are sorted by path.
func (s *Set) Closure(names []string) (mods []Module, missing []string, err error) {
	seen := map[*entry]bool{}
	lost := map[string]bool{}
	var visit func(e *entry) error
	follow := func(name string, need bool) error {
		found, ok, err := s.lookup(name, !need)
		if err != nil {
			return err
		}
		if !ok && need {
			lost[name] = true
		}
		for _, e := range found {
			if err := visit(e); err != nil {
				return err
			}
		}
		return nil
	}
	visit = func(e *entry) error {
		if seen[e] {
			return nil
		}
		seen[e] = true
		m, err := e.module()
		if err != nil {
			return err
		}
		mods = append(mods, m)
		for _, d := range m.Depends {
			if err := follow(d, true); err != nil {
				return err
			}
		}
		for _, d := range slices.Concat(m.Pre, m.Post) {
			if err := follow(d, false); err != nil {
				return err
			}
		}
		return nil
	}
	for _, name := range names {
		if err := follow(name, true); err != nil {
			return nil, nil, err
		}
	}
	slices.SortFunc(mods, func(a, b Module) int { return strings.Compare(a.Path, b.Path) })
	for name := range lost {
		missing = append(missing, name)
	}
	slices.Sort(missing)
	return mods, missing, nil
}

// lookup resolves one name, of the caller's list or of a softdep. ok is true for what is built in
// as well, with no entries.
func (s *Set) lookup(name string, softdep bool) (found []*entry, ok bool, err error) {
	plain := underscores(name)
	if e := s.byName[plain]; e != nil {
		return []*entry{e}, true, nil
	}
	if s.builtin[plain] {
		return nil, true, nil
	}
	for _, a := range s.aliases {
		ok = ok || fnmatch.Match(underscores(a.pattern), plain)
	}
	var candidates []*entry
	for _, e := range s.entries {
		if mayProvide(e.file.Path, plain, softdep) {
			candidates = append(candidates, e)
		}
	}
	mods, err := readAll(candidates)
	if err != nil {
		return nil, false, err
	}
	for i, m := range mods {
		if slices.ContainsFunc(m.Aliases, func(a string) bool { return fnmatch.Match(underscores(a), plain) }) {
			found = append(found, candidates[i])
		}
	}
	return found, ok || len(found) > 0, nil
}

// mayProvide spares reading every module for the aliases that softdeps name: those of the crypto
// API, "crypto-crc32c" or just "crc32c", come from the portable and the architecture's
// implementations. Drivers of crypto hardware are left out; a board that has one names it. Other
// softdeps are names of modules, or have the colon of a bus.
func mayProvide(file, alias string, softdep bool) bool {
	if !strings.HasPrefix(alias, "crypto_") && !(softdep && !strings.Contains(alias, ":")) {
		return true
	}
	dir := path.Dir(file)
	return strings.HasPrefix(dir, "kernel/crypto") || strings.HasPrefix(dir, "kernel/lib") ||
		strings.HasPrefix(dir, "kernel/arch/") && strings.Contains(dir+"/", "/crypto/")
}
