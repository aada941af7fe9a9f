package kmod

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"imgbuild/qemu/tool"
)

// depmod of kmod makes the same files from the same modules: the same lines, and tries with the
// same content. (kmod before 31 makes the same bytes; later ones put a trie's nodes before their
// children.)
func TestIndexLikeDepmod(t *testing.T) {
	for _, bits := range []int{32, 64} {
		root := t.TempDir()
		dir := filepath.Join(root, "lib/modules/6.12.0")
		for name, data := range tree(bits) {
			write(t, filepath.Join(dir, name), data)
		}
		write(t, filepath.Join(dir, "modules.builtin"), lists.Builtin)
		write(t, filepath.Join(dir, "modules.builtin.modinfo"), lists.BuiltinModinfo)
		write(t, filepath.Join(dir, "modules.order"), lists.Order)
		if msg, err := exec.Command(tool.Path(t, "depmod"), "-b", root, "6.12.0").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, msg)
		}
		s := newSet(t, bits)
		mods, err := readAll(s.entries)
		if err != nil {
			t.Fatal(err)
		}
		index, err := s.Index(mods)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range slices.Sorted(maps.Keys(index)) {
			want, err := os.ReadFile(filepath.Join(dir, name))
			if os.IsNotExist(err) && name == "modules.weakdep" {
				continue // kmod before 33
			}
			if err != nil {
				t.Errorf("%s: %v", name, err)
			} else if got := index[name]; !bytes.Equal(lines(name, got), lines(name, want)) {
				t.Errorf("%d bits, %s:\n%q\nwant\n%q", bits, name, got, want)
			}
		}
	}
}

// lines sorts a text file and drops its comments, since depmod writes symbols in the order of a
// hash table, and spells out a binary index.
func lines(name string, data []byte) []byte {
	if strings.HasSuffix(name, ".bin") {
		return []byte(strings.Join(dump(data, binary.BigEndian.Uint32(data[8:]), ""), "\n"))
	}
	if strings.HasSuffix(name, ".modinfo") {
		return data
	}
	var out []string
	for _, l := range strings.Split(string(data), "\n") {
		if l != "" && l[0] != '#' {
			out = append(out, l)
		}
	}
	slices.Sort(out)
	return []byte(strings.Join(out, "\n"))
}

// dump returns "key priority value" for all that is under a node of a binary index.
func dump(data []byte, ref uint32, key string) (out []string) {
	be := binary.BigEndian
	p := data[ref&0x0fffffff:]
	text := func() string {
		s, rest, _ := bytes.Cut(p, []byte{0})
		p = rest
		return string(s)
	}
	if ref&0x80000000 != 0 {
		key += text()
	}
	var below []string
	if ref&0x20000000 != 0 {
		first, last := int(p[0]), int(p[1])
		p = p[2:]
		for c := first; c <= last; c++ {
			if child := be.Uint32(p); child != 0 {
				below = append(below, dump(data, child, key+string(rune(c)))...)
			}
			p = p[4:]
		}
	}
	if ref&0x40000000 != 0 {
		n := be.Uint32(p)
		p = p[4:]
		for range n {
			priority := be.Uint32(p)
			p = p[4:]
			out = append(out, fmt.Sprintf("%q %d %q", key, priority, text()))
		}
	}
	return append(out, below...)
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestIndexText(t *testing.T) {
	s := newSet(t, 64)
	mods, _, err := s.Closure([]string{"top"})
	if err != nil {
		t.Fatal(err)
	}
	index, err := s.Index(mods)
	if err != nil {
		t.Fatal(err)
	}
	want := "kernel/lib/base.ko:\nkernel/fs/top.ko: kernel/fs/mid-dle.ko kernel/lib/base.ko\nkernel/fs/mid-dle.ko: kernel/lib/base.ko\n" +
		"kernel/drivers/late.ko: kernel/lib/base.ko\nkernel/crypto/sum_generic.ko:\n"
	if got := string(index["modules.dep"]); got != want {
		t.Errorf("modules.dep:\n%s", got)
	}
	if strings.Contains(string(index["modules.alias"]), "sum_engine") || !strings.Contains(string(index["modules.devname"]), "top top-control c10:237\n") {
		t.Errorf("%s%s", index["modules.alias"], index["modules.devname"])
	}
	slices.Reverse(mods)
	again, err := s.Index(mods)
	if err != nil || !maps.EqualFunc(index, again, bytes.Equal) {
		t.Error("the order of the modules shows", err)
	}
}

// search reads a binary index as kmod does: exact keys only.
func search(data []byte, key string) (values []string) {
	be := binary.BigEndian
	if be.Uint32(data) != 0xB007F457 || be.Uint32(data[4:]) != 0x00020001 {
		return []string{"bad header"}
	}
	ref := be.Uint32(data[8:])
	for {
		p := data[ref&0x0fffffff:]
		text := func() string {
			s, rest, _ := bytes.Cut(p, []byte{0})
			p = rest
			return string(s)
		}
		if ref&0x80000000 != 0 {
			prefix := text()
			if !strings.HasPrefix(key, prefix) {
				return nil
			}
			key = key[len(prefix):]
		}
		next := uint32(0)
		if ref&0x20000000 != 0 {
			first, last := p[0], p[1]
			if key != "" && key[0] >= first && key[0] <= last {
				next = be.Uint32(p[2+4*int(key[0]-first):])
			}
			p = p[2+4*(int(last)-int(first)+1):]
		}
		if key == "" {
			if ref&0x40000000 != 0 {
				n := be.Uint32(p)
				p = p[4:]
				for range n {
					p = p[4:]
					values = append(values, text())
				}
			}
			return values
		}
		if next == 0 {
			return nil
		}
		ref, key = next, key[1:]
	}
}

func FuzzTrie(f *testing.F) {
	f.Add("a ab abc b ba abc", "absent")
	f.Add("crypto_sha1 crypto_sha256 crypto", "crypto_sha")
	f.Fuzz(func(t *testing.T, text, absent string) {
		keys := strings.Fields(text)
		var tr trie
		want := map[string][]string{}
		for i, key := range keys {
			if err := tr.insert(key, fmt.Sprint(i), uint32(i)); err != nil {
				return
			}
			want[key] = append(want[key], fmt.Sprint(i))
		}
		data, err := tr.marshal()
		if err != nil {
			t.Fatal(err)
		}
		for key, values := range want {
			if got := search(data, key); !slices.Equal(got, values) {
				t.Fatalf("%q: %q instead of %q", key, got, values)
			}
		}
		if want[absent] == nil && absent != "" && search(data, absent) != nil {
			t.Fatalf("%q was found", absent)
		}
	})
}
