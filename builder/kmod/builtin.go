package kmod

import (
	"fmt"
	"strings"
)

// builtinAlias is an alias of something that is compiled into the kernel.
type builtinAlias struct{ pattern, name string }

// builtinAliases reads modules.builtin.modinfo.
func builtinAliases(modinfo []byte) (out []builtinAlias) {
	for _, line := range strings.Split(string(modinfo), "\x00") {
		key, value, ok := strings.Cut(line, "=")
		if name, ok2 := strings.CutSuffix(key, ".alias"); ok && ok2 {
			out = append(out, builtinAlias{value, underscores(name)})
		}
	}
	return out
}

// builtinIndexes writes what concerns the kernel itself. It is the same whatever modules an image
// has.
func (s *Set) builtinIndexes(out map[string][]byte) error {
	out["modules.builtin"] = s.lists.Builtin
	out["modules.builtin.modinfo"] = s.lists.BuiltinModinfo

	var names, aliases trie
	for _, line := range strings.Fields(string(s.lists.Builtin)) {
		if err := names.insert(NameOf(line), "", 0); err != nil {
			return fmt.Errorf("modules.builtin: %w", err)
		}
	}
	for _, a := range s.aliases {
		if err := aliases.insert(underscores(a.pattern), a.name, 0); err != nil {
			return fmt.Errorf("modules.builtin.modinfo: %w", err)
		}
	}
	var err error
	if out["modules.builtin.bin"], err = names.marshal(); err != nil {
		return err
	}
	out["modules.builtin.alias.bin"], err = aliases.marshal()
	return err
}
