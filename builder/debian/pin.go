package debian

import (
	"maps"
	"slices"
	"strings"

	"imgbuild/init/contract/fault"
)

// Pin is a version of a package that is taken instead of the newest one.
type Pin struct{ Name, Version string }

// ParsePin reads PACKAGE=VERSION.
func ParsePin(s string) (Pin, error) {
	name, version, ok := strings.Cut(s, "=")
	if !ok || !validName(name) || version == "" {
		return Pin{}, fault.New(fault.Usage, "write it as PACKAGE=VERSION, such as openssl=3.5.7-1", "%q is not a version of a package", s)
	}
	return Pin{name, version}, nil
}

// Versions returns the versions of a package in the index, the newest first.
func (ix *Index) Versions(name string) []string {
	var list []string
	if p := ix.newest[name]; p != nil {
		list = append(list, p.Version)
	}
	for _, p := range ix.older[name] {
		list = append(list, p.Version)
	}
	slices.SortFunc(list, func(a, b string) int { return CompareVersions(b, a) })
	return slices.Compact(list)
}

// pinned returns an index in which the pinned versions are the newest ones.
func (ix *Index) pinned(pins []Pin) (*Index, error) {
	if len(pins) == 0 {
		return ix, nil
	}
	c := *ix
	c.newest = maps.Clone(ix.newest)
	for _, pin := range pins {
		p := ix.newest[pin.Name]
		if p == nil {
			return nil, fault.New(fault.Input, "correct the name", "there is no package %s for %s%s", pin.Name, ix.Arch, ix.hint(pin.Name))
		}
		if p.Version != pin.Version {
			i := slices.IndexFunc(ix.older[pin.Name], func(p *Package) bool { return p.Version == pin.Version })
			if i < 0 {
				return nil, fault.New(fault.Input, "pin one of them", "the archive has %s in the versions %s, not in %s", pin.Name, strings.Join(ix.Versions(pin.Name), ", "), pin.Version)
			}
			p = ix.older[pin.Name][i]
		}
		c.newest[pin.Name] = p
	}
	return &c, c.finish()
}
