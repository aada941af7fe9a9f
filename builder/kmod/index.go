package kmod

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// Index writes depmod's files for a closed set of modules, to be in lib/modules/VERSION: each name
// with its content. Aliases, softdeps and symbols are those of mods alone, so that modprobe never
// looks for a file that is not there. A module that depends on one that is not among mods is an
// error, and so is a circle.
func (s *Set) Index(mods []Module) (map[string][]byte, error) {
	mods = s.sorted(mods)
	chains, err := dependencies(mods)
	if err != nil {
		return nil, err
	}
	var dep, alias, soft, weak, symbol, device bytes.Buffer
	var depTrie, aliasTrie, symbolTrie trie
	alias.WriteString("# Aliases extracted from modules themselves.\n")
	soft.WriteString("# Soft dependencies extracted from modules themselves.\n")
	weak.WriteString("# Weak dependencies extracted from modules themselves.\n")
	symbol.WriteString("# Aliases for symbols, used by symbol_request().\n")
	device.WriteString("# Device nodes to trigger on-demand module loading.\n")
	for i, m := range mods {
		priority := uint32(i)
		line := m.Path + ":"
		for _, d := range chains[i] {
			line += " " + mods[d].Path
		}
		fmt.Fprintln(&dep, line)
		if err := depTrie.insert(m.Name, line, priority); err != nil {
			return nil, fmt.Errorf("kernel module %s: %w", m.Path, err)
		}
		for _, a := range m.Aliases {
			fmt.Fprintf(&alias, "alias %s %s\n", a, m.Name)
			if err := aliasTrie.insert(underscores(a), m.Name, priority); err != nil {
				return nil, fmt.Errorf("kernel module %s: %w", m.Path, err)
			}
		}
		for _, line := range m.Softdeps {
			fmt.Fprintf(&soft, "softdep %s %s\n", m.Name, line)
		}
		for _, name := range m.Weakdeps {
			fmt.Fprintf(&weak, "weakdep %s %s\n", m.Name, name)
		}
		for _, name := range m.Symbols {
			fmt.Fprintf(&symbol, "alias symbol:%s %s\n", name, m.Name)
			if err := symbolTrie.insert("symbol:"+name, m.Name, priority); err != nil {
				return nil, fmt.Errorf("kernel module %s: %w", m.Path, err)
			}
		}
		device.WriteString(deviceNode(m))
	}
	out := map[string][]byte{
		"modules.dep": dep.Bytes(), "modules.alias": alias.Bytes(), "modules.softdep": soft.Bytes(),
		"modules.weakdep": weak.Bytes(), "modules.symbols": symbol.Bytes(), "modules.devname": device.Bytes(),
		"modules.order": order(mods),
	}
	for name, t := range map[string]*trie{
		"modules.dep.bin": &depTrie, "modules.alias.bin": &aliasTrie, "modules.symbols.bin": &symbolTrie,
	} {
		if out[name], err = t.marshal(); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return out, s.builtinIndexes(out)
}

// sorted puts the modules into the kernel's own order, which decides between two that claim one
// alias; what it does not name follows by path.
func (s *Set) sorted(mods []Module) []Module {
	at := func(m Module) int {
		if i, ok := s.order[m.Path]; ok {
			return i
		}
		return len(s.order)
	}
	mods = slices.Clone(mods)
	slices.SortFunc(mods, func(a, b Module) int {
		if d := at(a) - at(b); d != 0 {
			return d
		}
		return strings.Compare(a.Path, b.Path)
	})
	return mods
}

func order(mods []Module) []byte {
	var b bytes.Buffer
	for _, m := range mods {
		fmt.Fprintln(&b, m.Path)
	}
	return b.Bytes()
}

// dependencies returns for every module all that it needs, directly and not, as positions in mods.
// modprobe loads such a list from its end, so a module is before those that it needs itself.
func dependencies(mods []Module) ([][]int, error) {
	byName := map[string]int{}
	for i, m := range mods {
		if other, ok := byName[m.Name]; ok {
			return nil, fmt.Errorf("kernel modules: %s and %s are both named %s", mods[other].Path, m.Path, m.Name)
		}
		byName[m.Name] = i
	}
	const unseen, open, done = 0, 1, 2
	state := make([]int, len(mods))
	rank := make([]int, len(mods)) // in the order in which they can be loaded
	loaded := 0
	var visit func(i int) error
	visit = func(i int) error {
		switch state[i] {
		case done:
			return nil
		case open:
			return fmt.Errorf("kernel module %s needs itself in a circle", mods[i].Path)
		}
		state[i] = open
		for _, name := range mods[i].Depends {
			d, ok := byName[name]
			if !ok {
				return fmt.Errorf("kernel module %s needs %s, which is not among the chosen ones", mods[i].Path, name)
			}
			if err := visit(d); err != nil {
				return err
			}
		}
		state[i], rank[i] = done, loaded
		loaded++
		return nil
	}
	chains := make([][]int, len(mods))
	for i := range mods {
		if err := visit(i); err != nil {
			return nil, err
		}
	}
	for i := range mods {
		need := map[int]bool{}
		for todo := []int{i}; len(todo) > 0; {
			last := todo[len(todo)-1]
			todo = todo[:len(todo)-1]
			for _, name := range mods[last].Depends {
				if d := byName[name]; !need[d] {
					need[d] = true
					todo = append(todo, d)
				}
			}
		}
		for d := range need {
			chains[i] = append(chains[i], d)
		}
		slices.SortFunc(chains[i], func(a, b int) int { return rank[b] - rank[a] })
	}
	return chains, nil
}

// deviceNode is a module's line of modules.devname, if it has both a devname and a number among its
// aliases.
func deviceNode(m Module) string {
	var name, node string
	for _, a := range m.Aliases {
		if n, ok := strings.CutPrefix(a, "devname:"); ok {
			name = n
		}
		for _, kind := range []string{"char", "block"} {
			var major, minor uint // block-major-7-* is an alias too, and no node
			if n, _ := fmt.Sscanf(a, kind+"-major-%d-%d", &major, &minor); n == 2 {
				node = fmt.Sprintf("%s%d:%d", kind[:1], major, minor)
			}
		}
	}
	if name == "" || node == "" {
		return ""
	}
	return fmt.Sprintf("%s %s %s\n", m.Name, name, node)
}
