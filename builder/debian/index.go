package debian

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Suite names a part of an archive.
type Suite struct {
	Archive    string   // which base address: "debian" or "debian-security"
	Name       string   // the suite's codename: trixie, trixie-updates, trixie-security, bookworm
	Components []string // main, non-free-firmware
	Only       []string // when not empty: just these packages, for Newest; they take no part in Resolve
	Optional   bool     // left out when the archive serves an index that does not fit its signed InRelease
}

func (s Suite) String() string { return s.Archive + "/" + s.Name }

// Package is one stanza of an index, as far as it is needed here. The relationship fields are as
// they are there.
type Package struct {
	Name, Version, Arch string
	Pool                string // path below the archive's base, pool/...
	SHA256              string // lower-case hexadecimal
	Size                int64  // of the .deb, bytes
	InstalledSize       int64  // KiB
	Priority            uint8  // 5 required, 4 important, 3 standard, 2 optional, 1 extra or absent
	Essential           bool
	Suite               *Suite

	PreDepends, Depends, Provides, Conflicts, Breaks string
}

// Index is what the suites offer for one architecture: for each name the newest version of all of
// them.
type Index struct {
	Arch    string
	Suites  []LockedSuite // what was read, in the caller's order
	Signers []string      // fingerprints of the keys that signed, sorted
	Left    []string      // optional suites that were left out, because their indexes do not fit

	newest    map[string]*Package
	older     map[string][]*Package          // the other versions of a name, in no order
	only      map[string]map[string]*Package // by suite and name: suites with Only
	providers map[string][]provider
}

// provider is a package that provides a name, in one version or in none.
type provider struct {
	pkg     *Package
	version string
}

func newIndex(arch string) *Index {
	return &Index{Arch: arch, newest: map[string]*Package{}, older: map[string][]*Package{}, only: map[string]map[string]*Package{}}
}

// add reads the text of a Packages file.
func (ix *Index) add(r io.Reader, suite *Suite) error {
	into := ix.newest
	if len(suite.Only) > 0 {
		if into = ix.only[suite.String()]; into == nil {
			into = map[string]*Package{}
			ix.only[suite.String()] = into
		}
	}
	s := newStanzaReader(r)
	var scratch []byte
	for {
		fields, err := s.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		var p *Package
		if p, scratch, err = readPackage(fields, ix.Arch, suite, scratch); err != nil {
			return fmt.Errorf("stanza before line %d: %w", s.line, err)
		}
		if p == nil {
			continue
		}
		old := into[p.Name]
		if old == nil || CompareVersions(p.Version, old.Version) > 0 {
			into[p.Name], p = p, old
		}
		if p != nil && len(suite.Only) == 0 {
			ix.older[p.Name] = append(ix.older[p.Name], p)
		}
	}
}

// readPackage makes a package of a stanza; nil when it is of no use here. All its strings share one
// allocation.
func readPackage(fields []field, arch string, suite *Suite, scratch []byte) (*Package, []byte, error) {
	p := &Package{Priority: 1, Suite: suite}
	scratch = scratch[:0]
	type slot struct {
		to         *string
		start, end int
	}
	var slots [12]slot
	n := 0
	keep := func(to *string, value []byte) {
		if n < len(slots) {
			slots[n] = slot{to, len(scratch), len(scratch) + len(value)}
			n++
			scratch = append(scratch, value...)
		}
	}
	for _, f := range fields {
		var err error
		switch string(f.name) {
		case "package":
			if len(suite.Only) > 0 && !slices.Contains(suite.Only, string(f.value)) {
				return nil, scratch, nil
			}
			keep(&p.Name, f.value)
		case "version":
			keep(&p.Version, f.value)
		case "architecture":
			switch string(f.value) {
			case "all":
				p.Arch = "all"
			case arch:
				p.Arch = arch
			default:
				return nil, scratch, nil
			}
		case "filename":
			keep(&p.Pool, f.value)
		case "sha256":
			keep(&p.SHA256, f.value)
		case "size":
			p.Size, err = strconv.ParseInt(string(f.value), 10, 64)
		case "installed-size":
			p.InstalledSize, err = strconv.ParseInt(string(f.value), 10, 64)
		case "priority":
			p.Priority = priority(f.value)
		case "essential":
			p.Essential = string(f.value) == "yes"
		case "pre-depends":
			keep(&p.PreDepends, f.value)
		case "depends":
			keep(&p.Depends, f.value)
		case "provides":
			keep(&p.Provides, f.value)
		case "conflicts":
			keep(&p.Conflicts, f.value)
		case "breaks":
			keep(&p.Breaks, f.value)
		}
		if err != nil {
			return nil, scratch, fmt.Errorf("field %s: %w", f.name, err)
		}
	}
	text := string(scratch)
	for _, s := range slots[:n] {
		*s.to = text[s.start:s.end]
	}
	switch _, err := parseSum(p.SHA256); {
	case !validName(p.Name):
		return nil, scratch, fmt.Errorf("%.80q is not a package name", p.Name)
	case p.Version == "" || strings.ContainsAny(p.Version, " \t\n"):
		return nil, scratch, fmt.Errorf("package %s: %.80q is not a version", p.Name, p.Version)
	case p.Arch == "":
		return nil, scratch, fmt.Errorf("package %s has no architecture", p.Name)
	case !cleanPath(p.Pool) || !strings.HasSuffix(p.Pool, ".deb"):
		return nil, scratch, fmt.Errorf("package %s: %.80q is not the path of a package", p.Name, p.Pool)
	case err != nil:
		return nil, scratch, fmt.Errorf("package %s: %w", p.Name, err)
	case p.Size <= 0 || p.Size > maxDeb || p.InstalledSize < 0:
		return nil, scratch, fmt.Errorf("package %s: impossible size %d", p.Name, p.Size)
	}
	return p, scratch, nil
}

func priority(v []byte) uint8 {
	switch string(v) {
	case "required":
		return 5
	case "important":
		return 4
	case "standard":
		return 3
	case "optional":
		return 2
	}
	return 1
}

// finish builds the table of provided names; only the newest version of a package provides.
func (ix *Index) finish() error {
	ix.providers = map[string][]provider{}
	for _, p := range ix.newest {
		if p.Provides == "" {
			continue
		}
		list, err := ParseDepends(p.Provides, ix.Arch)
		if err != nil {
			return fmt.Errorf("package %s, Provides: %w", p.Name, err)
		}
		for _, c := range list {
			r := c[0]
			ix.providers[r.Name] = append(ix.providers[r.Name], provider{p, r.Version})
		}
	}
	for _, list := range ix.providers {
		slices.SortFunc(list, func(a, b provider) int {
			if a.pkg.Essential != b.pkg.Essential {
				if a.pkg.Essential {
					return -1
				}
				return 1
			}
			if a.pkg.Priority != b.pkg.Priority {
				return int(b.pkg.Priority) - int(a.pkg.Priority)
			}
			if c := strings.Compare(a.pkg.Name, b.pkg.Name); c != 0 {
				return c
			}
			return strings.Compare(a.version, b.version)
		})
	}
	return nil
}

// Newest returns the newest package called name. An empty suite means all suites without Only; else
// it is "ARCHIVE/NAME" of one that was read.
func (ix *Index) Newest(suite, name string) (*Package, bool) {
	if suite == "" {
		p, ok := ix.newest[name]
		return p, ok
	}
	if p, ok := ix.only[suite][name]; ok {
		return p, true
	}
	p, ok := ix.newest[name]
	return p, ok && p.Suite.String() == suite
}

// Len is the number of packages that take part in Resolve.
func (ix *Index) Len() int { return len(ix.newest) }

// Locked returns the lock's line of p, without the hash of the scripts.
func (p *Package) Locked() Locked {
	return Locked{Name: p.Name, Version: p.Version, Arch: p.Arch, Archive: p.Suite.Archive, Pool: p.Pool,
		Size: p.Size, SHA256: strings.ToLower(p.SHA256), InstalledSize: p.InstalledSize}
}
