package debian

import (
	"errors"
	"io"
	"strings"
	"testing"
)

func stanzas(text string) (out []map[string]string, err error) {
	s := newStanzaReader(strings.NewReader(text))
	for {
		fields, err := s.next()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		m := map[string]string{}
		for _, f := range fields {
			m[string(f.name)] = string(f.value)
		}
		out = append(out, m)
	}
}

func TestStanzas(t *testing.T) {
	got, err := stanzas("\n\n# comment\nPackage: a\nDescription: one\n two\n .\n\tthree\nEmpty:\n \t\n\r\nPACKAGE:b  \r\n# c\nX: y")
	if err != nil || len(got) != 2 {
		t.Fatal(got, err)
	}
	if got[0]["package"] != "a" || got[0]["description"] != "one\ntwo\n.\nthree" || got[1]["package"] != "b" || got[1]["x"] != "y" {
		t.Fatalf("%q", got)
	}
	if v, ok := got[0]["empty"]; !ok || v != "" {
		t.Fatalf("%q", got)
	}
	long := "A: " + strings.Repeat("x", 200<<10) + "\n"
	if got, err := stanzas(long + "\nB: c\n"); err != nil || len(got) != 2 || len(got[0]["a"]) != 200<<10 {
		t.Fatal(err)
	}
}

func TestStanzaErrorsNameTheLine(t *testing.T) {
	for text, want := range map[string]string{
		"A: b\n\n c\n":   "line 3: a continuation",
		"A: b\nnothing":  "line 2: no field name",
		"A: b\n: c\n":    "line 2: no field name",
		"A: b\na: c\n":   "line 2: field \"a\" appears twice",
		"A b: c\n":       "line 1: no field name",
		"A: b\nB\xff: c": "line 2: no field name",
	} {
		if _, err := stanzas(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	endless := io.MultiReader(strings.NewReader("A: "), zeros{})
	if _, err := newStanzaReader(endless).next(); err == nil || !strings.Contains(err.Error(), "longer") {
		t.Error(err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func FuzzStanzas(f *testing.F) {
	f.Add("Package: a\nVersion: 1\nArchitecture: arm64\nDepends: b (>= 1) | c:any, d\nProvides: e (= 2)\nFilename: pool/a.deb\nSize: 3\nSHA256: " +
		strings.Repeat("0", 64) + "\n\nPackage: b\n")
	f.Add("A:\n b\n\n# c\n\tx\n")
	f.Add("Date: Sat, 12 Sep 2026 08:00:00 UTC\nCodename: x\nSHA256:\n " + strings.Repeat("a", 64) + " 12 main/x\n")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := stanzas(text)
		for _, m := range list {
			if len(m) == 0 {
				t.Fatal("an empty stanza")
			}
		}
		if err != nil && errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		ix := newIndex("arm64")
		if ix.add(strings.NewReader(text), &trixie[0]) == nil && ix.finish() == nil {
			for name, p := range ix.newest {
				if name != p.Name || !validName(name) || !cleanPath(p.Pool) || p.Size <= 0 {
					t.Fatalf("%+v", p)
				}
				res, _ := ix.Resolve([]string{name}, nil)
				if len(res.Packages) == 0 {
					t.Fatal("a package is not in its own closure")
				}
			}
		}
		if r, err := parseRelease([]byte(text)); err == nil && (r.Date.IsZero() || len(r.Files) == 0) {
			t.Fatalf("%+v", r)
		}
	})
}

func TestParseDepends(t *testing.T) {
	got, err := ParseDepends("libc6 (>= 2.38), a:any|b (<<1:2~) | c [arm64 armhf], x [!arm64], y [amd64], z <!nocheck>,\n w (= 1) , ", "arm64")
	if err != nil {
		t.Fatal(err)
	}
	var text []string
	for _, c := range got {
		text = append(text, c.String())
	}
	if s := strings.Join(text, ", "); s != "libc6 (>= 2.38), a:any | b (<< 1:2~) | c, w (= 1)" {
		t.Fatalf("got %q, want %q", s, "libc6 (>= 2.38), a:any | b (<< 1:2~) | c, w (= 1)")
	}
	for _, bad := range []string{"a (", "a (1)", "a (>= )", "a (>= 1) (<< 2)", "(>= 1)", "a b", "a [arm64", "a (>= 1 2)", "|", "a, -b", "a || b", "a (=> 1)"} {
		if got, err := ParseDepends(bad, "arm64"); err == nil {
			t.Errorf("%q returns %v", bad, got)
		}
	}
}

func FuzzParseDepends(f *testing.F) {
	f.Add("libc6 (>= 2.38), a:any|b (<<1:2~) | c [arm64 armhf], x [!arm64], z <!nocheck>")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := ParseDepends(text, "arm64")
		if err != nil {
			return
		}
		var again []string
		for _, c := range list {
			again = append(again, c.String())
		}
		twice, err := ParseDepends(strings.Join(again, ", "), "arm64")
		if err != nil || len(twice) != len(list) {
			t.Fatalf("%q becomes %q: %v: got %v, want %v", text, again, err, len(twice), len(list))
		}
		for i := range list {
			if list[i].String() != twice[i].String() {
				t.Fatalf("%q becomes %q", list[i], twice[i])
			}
		}
	})
}

func TestReleaseErrors(t *testing.T) {
	date := "Date: Sat, 12 Sep 2026 08:00:00 UTC\n"
	sum := strings.Repeat("a", 64)
	for text, want := range map[string]string{
		"":                                    "not a Release file",
		"Date: yesterday\n":                   "is not a date",
		date:                                  "no SHA256",
		"SHA256:\n " + sum + " 1 x\n":         "no Date",
		date + "SHA256:\n zz 1 x\n":           "is not a sha256",
		date + "SHA256:\n " + sum + " x\n":    "not a hash",
		date + "SHA256:\n " + sum + " -1 x\n": "bad size",
	} {
		if _, err := parseRelease([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	r, err := parseRelease([]byte("Date: Sat, 12 Sep 2026 08:00:00 UTC\nValid-Until: Sat,  1 Feb 2027 10:00:00 UTC\nSHA256:\n " + sum + "   12 a/b\n"))
	if err != nil || r.Files["a/b"].Size != 12 || r.ValidUntil.Day() != 1 {
		t.Fatal(r, err)
	}
}
