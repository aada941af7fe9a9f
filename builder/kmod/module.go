// Package kmod does depmod's work without a node: it reads kernel modules, finds the closure of a
// list of names, and writes the indexes that modprobe and the init read. No kernel package carries
// them, a maintainer script would make them.
//
// Sources: the ELF specification, the kernel's include/linux/module.h (.modinfo, MODULE_*),
// modprobe.d(5), modules.dep(5), and kmod's index format as its depmod writes it (compared in the
// tests).
package kmod

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Module is what depmod wants to know of one module.
type Module struct {
	Name     string   // as the kernel has it, with underscores: nf_conntrack
	Path     string   // below lib/modules/VERSION, without a suffix of compression: kernel/fs/ext4/ext4.ko
	Depends  []string // names of the modules whose symbols it uses
	Softdeps []string // raw lines of MODULE_SOFTDEP: "pre: crypto-crc32c"
	Pre      []string // names or aliases to load before it, of Softdeps
	Post     []string // the same, after it
	Weakdeps []string // of MODULE_WEAKDEP: needed perhaps, never loaded for it
	Aliases  []string // patterns, in the file's order
	Firmware []string // files it may ask for
	Symbols  []string // what it exports
	Release  string   // the kernel's release, first word of vermagic
}

// Read reads a module. name is its path below lib/modules/VERSION; ko its content, plain or
// compressed with xz, gzip or zstd. Errors name the module and what is wrong with it.
func Read(name string, ko []byte) (Module, error) {
	m, err := read(name, ko)
	if err != nil {
		return Module{}, fmt.Errorf("kernel module %s: %w", name, err)
	}
	return m, nil
}

func read(name string, ko []byte) (m Module, err error) {
	// debug/elf promises errors, not panics, for bad files, and its own fuzzers have found
	// exceptions before.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("not a proper ELF file: %v", r)
		}
	}()
	plain, err := Decompress(ko)
	if err != nil {
		return m, err
	}
	file, err := elf.NewFile(bytes.NewReader(plain))
	if err != nil {
		return m, err
	}
	info, err := section(file, ".modinfo")
	if err != nil {
		return m, err
	}
	if info == nil {
		return m, fmt.Errorf("no .modinfo section")
	}
	m = Module{Name: NameOf(name), Path: PlainPath(name)}
	for _, line := range strings.Split(string(info), "\x00") {
		if key, value, ok := strings.Cut(line, "="); ok {
			m.add(key, value)
		}
	}
	m.Symbols, err = symbols(file)
	return m, err
}

// add notes one line of .modinfo.
func (m *Module) add(key, value string) {
	switch key {
	case "depends":
		for _, d := range strings.Split(value, ",") {
			if d != "" {
				m.Depends = append(m.Depends, underscores(d))
			}
		}
	case "softdep":
		m.Softdeps = append(m.Softdeps, value)
		pre, post := parseSoftdep(value)
		m.Pre, m.Post = append(m.Pre, pre...), append(m.Post, post...)
	case "weakdep":
		m.Weakdeps = append(m.Weakdeps, strings.Fields(value)...)
	case "alias":
		m.Aliases = append(m.Aliases, value)
	case "firmware":
		m.Firmware = append(m.Firmware, value)
	case "vermagic":
		m.Release, _, _ = strings.Cut(value, " ")
	}
}

// parseSoftdep splits "pre: a b post: c".
func parseSoftdep(line string) (pre, post []string) {
	var to *[]string
	for _, word := range strings.Fields(line) {
		switch word {
		case "pre:":
			to = &pre
		case "post:":
			to = &post
		default:
			if to != nil {
				*to = append(*to, word)
			}
		}
	}
	return pre, post
}

// symbols lists the exported names, sorted: each has an entry __ksymtab_NAME in the symbol table.
// The section __ksymtab_strings would be quicker to read, but holds the names of namespaces too.
func symbols(file *elf.File) ([]string, error) {
	if file.Section("__ksymtab_strings") == nil {
		return nil, nil
	}
	table, err := file.Symbols()
	if errors.Is(err, elf.ErrNoSymbols) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("symbol table: %w", err)
	}
	var names []string
	for _, s := range table {
		if name, ok := strings.CutPrefix(s.Name, "__ksymtab_"); ok && name != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// sectionMax is far above what a module needs; a larger claim is a broken header.
const sectionMax = 16 << 20

// section returns a section's content, nil if there is none.
func section(file *elf.File, name string) ([]byte, error) {
	s := file.Section(name)
	if s == nil || s.Type == elf.SHT_NOBITS {
		return nil, nil
	}
	if s.Size > sectionMax || s.FileSize > sectionMax {
		return nil, fmt.Errorf("section %s claims %d bytes", name, s.Size)
	}
	data, err := s.Data()
	if err != nil {
		return nil, fmt.Errorf("section %s: %w", name, err)
	}
	return data, nil
}

// compressions are the suffixes that Decompress reads.
var compressions = []string{".xz", ".gz", ".zst"}

// PlainPath drops the suffix of a compression.
func PlainPath(name string) string {
	for _, suffix := range compressions {
		if s, ok := strings.CutSuffix(name, suffix); ok {
			return s
		}
	}
	return name
}

// NameOf returns the module's name by its file: kernel/drivers/usb/storage/usb-storage.ko.xz is
// usb_storage.
func NameOf(name string) string {
	return underscores(strings.TrimSuffix(path.Base(PlainPath(name)), ".ko"))
}

// underscores writes a name or an alias as the indexes do: - and _ are one character, but not
// inside brackets.
func underscores(s string) string {
	if !strings.Contains(s, "-") {
		return s
	}
	b, inside := []byte(s), false
	for i, c := range b {
		switch {
		case c == '[':
			inside = true
		case c == ']':
			inside = false
		case c == '-' && !inside:
			b[i] = '_'
		}
	}
	return string(b)
}
