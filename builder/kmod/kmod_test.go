package kmod

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

func newSet(t testing.TB, bits int) *Set {
	t.Helper()
	s, err := NewSet(files(tree(bits)), lists)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRead(t *testing.T) {
	for _, bits := range []int{32, 64} {
		m, err := Read("kernel/fs/mid-dle.ko.xz", tree(bits)["kernel/fs/mid-dle.ko"])
		want := Module{Name: "mid_dle", Path: "kernel/fs/mid-dle.ko", Depends: []string{"base"}, Softdeps: []string{"pre: crypto-sum post: late"},
			Pre: []string{"crypto-sum"}, Post: []string{"late"}, Aliases: []string{"fs-mid"}, Symbols: []string{"mid_open"}, Release: "6.12.0"}
		if err != nil || !reflect.DeepEqual(m, want) {
			t.Errorf("%d bits: %+v, %v", bits, m, err)
		}
	}
	m, err := Read("kernel/fs/top.ko", tree(64)["kernel/fs/top.ko"])
	if err != nil || !slices.Equal(m.Depends, []string{"mid_dle", "base"}) || !slices.Equal(m.Firmware, []string{"top/fw.bin"}) || len(m.Aliases) != 4 {
		t.Errorf("%+v, %v", m, err)
	}
}

func compressed(t testing.TB, data []byte) map[string][]byte {
	t.Helper()
	out := map[string][]byte{"": data}
	for suffix, open := range map[string]func(io.Writer) (io.WriteCloser, error){
		".xz":  func(w io.Writer) (io.WriteCloser, error) { return xz.NewWriter(w) },
		".gz":  func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil },
		".zst": func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) },
	} {
		var b bytes.Buffer
		w, err := open(&b)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(data)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		out[suffix] = b.Bytes()
	}
	return out
}

func TestReadCompressed(t *testing.T) {
	plain := tree(64)["kernel/fs/top.ko"]
	want, err := Read("kernel/fs/top.ko", plain)
	if err != nil {
		t.Fatal(err)
	}
	for suffix, data := range compressed(t, plain) {
		m, err := Read("kernel/fs/top.ko"+suffix, data)
		if err != nil || !reflect.DeepEqual(m, want) {
			t.Errorf("%q: %+v, %v", suffix, m, err)
		}
		if suffix == "" {
			continue
		}
		if _, err := Read("x.ko"+suffix, data[:len(data)/2]); err == nil {
			t.Errorf("%s: half a file was read", suffix)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	good := tree(64)["kernel/fs/top.ko"]
	for name, data := range map[string][]byte{
		"empty": nil, "text": []byte("kernel module"), "cut": good[:100], "no table": good[:len(good)-64],
		"no modinfo": bytes.Replace(good, []byte(".modinfo"), []byte(".nodinfo"), 1),
	} {
		if m, err := Read("kernel/x.ko", data); err == nil || !strings.Contains(err.Error(), "kernel/x.ko") {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
}

func closure(t *testing.T, s *Set, names ...string) (paths, missing []string) {
	t.Helper()
	mods, missing, err := s.Closure(names)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mods {
		paths = append(paths, strings.TrimSuffix(strings.TrimPrefix(m.Path, "kernel/"), ".ko"))
	}
	return paths, missing
}

func TestClosure(t *testing.T) {
	s := newSet(t, 64)
	for _, c := range []struct{ names, want, missing string }{
		{"base", "lib/base", ""},
		{"top", "crypto/sum_generic drivers/late fs/mid-dle fs/top lib/base", ""},
		{"mid-dle", "crypto/sum_generic drivers/late fs/mid-dle lib/base", ""},
		{"mid_dle", "crypto/sum_generic drivers/late fs/mid-dle lib/base", ""},
		{"fs-mid", "crypto/sum_generic drivers/late fs/mid-dle lib/base", ""},
		{"crypto-sum", "crypto/sum_generic", ""}, // the engine is hardware
		{"sum_engine", "drivers/crypto/sum_engine", ""},
		{"pci:v0000104Cd00008030sv1sd2bc3sc4i5", "crypto/sum_generic drivers/late fs/mid-dle fs/top lib/base", ""},
		{"pci:v0000104Cd00008050sv1sd2bc3sc4i5", "", "pci:v0000104Cd00008050sv1sd2bc3sc4i5"},
		{"mmc_block in_side in-side fs-inside mmc:block-3", "", ""},
		{"base nosuch base also-not", "lib/base", "also-not nosuch"},
		{"", "", ""},
	} {
		paths, missing := closure(t, s, strings.Fields(c.names)...)
		if got := strings.Join(paths, " "); got != c.want || strings.Join(missing, " ") != c.missing {
			t.Errorf("%s: %q, missing %q", c.names, got, missing)
		}
	}
}

// A name costs the files of its closure and no others, unless it is an alias.
func TestClosureIsLazy(t *testing.T) {
	var opened []string
	var fs []File
	for name, data := range tree(64) {
		fs = append(fs, File{name, func() (io.ReadCloser, error) {
			opened = append(opened, name)
			return io.NopCloser(bytes.NewReader(data)), nil
		}})
	}
	s, err := NewSet(fs, lists)
	if err != nil {
		t.Fatal(err)
	}
	if _, missing := closure(t, s, "late", "mmc_block"); missing != nil || len(opened) != 2 {
		t.Errorf("opened %q", opened)
	}
	closure(t, s, "late")
	if len(opened) != 2 {
		t.Errorf("opened again: %q, want length 2", opened)
	}
}

func TestClosureErrors(t *testing.T) {
	broken := errors.New("disk on fire")
	s, err := NewSet([]File{{"kernel/a.ko", func() (io.ReadCloser, error) { return nil, broken }}}, Lists{})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Closure([]string{"a"}); !errors.Is(err, broken) || !strings.Contains(err.Error(), "kernel/a.ko") {
		t.Error(err)
	}
	if _, err := NewSet([]File{{"kernel/a-b.ko", nil}, {"extra/a_b.ko.xz", nil}}, Lists{}); err == nil {
		t.Error("two modules with one name passed")
	}
	k := ko{info: []string{"depends=gone"}, bits: 64}
	s, err = NewSet(files(map[string][]byte{"kernel/a.ko": k.build()}), Lists{})
	if err != nil {
		t.Fatal(err)
	}
	if _, missing, _ := s.Closure([]string{"a"}); !slices.Equal(missing, []string{"gone"}) {
		t.Error(missing)
	}
}

func TestIndexRefuses(t *testing.T) {
	s := newSet(t, 64)
	a, b := Module{Name: "a", Path: "a.ko", Depends: []string{"b"}}, Module{Name: "b", Path: "b.ko", Depends: []string{"a"}}
	for name, mods := range map[string][]Module{
		"open": {a}, "a circle": {a, b}, "twice": {{Name: "a"}, {Name: "a"}}, "alias": {{Name: "a", Aliases: []string{"ü"}}},
	} {
		if _, err := s.Index(mods); err == nil {
			t.Errorf("%s was indexed", name)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, bits := range []int{32, 64} {
		for name, data := range tree(bits) {
			f.Add(name, data)
		}
	}
	for suffix, data := range compressed(f, tree(64)["kernel/lib/base.ko"]) {
		f.Add("kernel/lib/base.ko"+suffix, data)
	}
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		m, err := Read(name, data)
		if err == nil && m.Path != PlainPath(name) {
			t.Fatal(m)
		}
		if err == nil {
			m.Depends = nil
			if m.Name == "" {
				return
			}
			if _, err := (&Set{}).Index([]Module{m}); err != nil && !strings.Contains(err.Error(), "character") {
				t.Fatal(err)
			}
		}
	})
}

func Example_softdep() {
	fmt.Println(parseSoftdep("pre: a b post: c"))
	fmt.Println(parseSoftdep("x post: c pre: d"))
	// Output:
	// [a b] [c]
	// [d] [c]
}
