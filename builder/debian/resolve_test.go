package debian

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"imgbuild/init/contract/fault"
)

// indexOf makes an index of stanzas without the fields that the closure does not need.
func indexOf(t testing.TB, text string) *Index {
	t.Helper()
	ix := newIndex("arm64")
	var b strings.Builder
	for s := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		fmt.Fprintf(&b, "%s\nFilename: pool/x.deb\nSize: 1\nSHA256: %064d\n", s, 0)
		if !strings.Contains(s, "Architecture:") {
			b.WriteString("Architecture: arm64\n")
		}
		b.WriteString("\n")
	}
	if err := ix.add(strings.NewReader(b.String()), &trixie[0]); err != nil {
		t.Fatal(err)
	}
	if err := ix.finish(); err != nil {
		t.Fatal(err)
	}
	return ix
}

func names(r Resolution) string {
	var out []string
	for _, p := range r.Packages {
		out = append(out, p.Name)
	}
	return strings.Join(out, " ")
}

// TestClosureEqualsApt compares with what `apt-get -s install --no-install-recommends` of apt 2.6.1
// prints on an empty system: testdata/closure/apt.txt has the roots and apt's set, a line each;
// packages.txt the stanzas of Debian 13.7, arm64, that play a part (2026-11-22, with updates and
// security).
func TestClosureEqualsApt(t *testing.T) {
	stanzas, err := os.ReadFile("testdata/closure/packages.txt")
	if err != nil {
		t.Fatal(err)
	}
	expected, err := os.ReadFile("testdata/closure/apt.txt")
	if err != nil {
		t.Fatal(err)
	}
	ix := indexOf(t, string(stanzas))
	n := 0
	for line := range strings.Lines(string(expected)) {
		roots, want, _ := strings.Cut(strings.TrimSpace(line), ": ")
		got, err := ix.Resolve(strings.Fields(roots), nil)
		if err != nil || names(got) != want {
			t.Errorf("%s: %v\n got %s\nwant %s", roots, err, names(got), want)
		}
		n++
	}
	if n != 21 {
		t.Fatalf("%d sets compared, want 21", n)
	}
}

const small = `
Package: app
Version: 1
Depends: lib (>= 2), first | second, virt

Package: lib
Version: 2.1

Package: first
Version: 1
Depends: deep

Package: second
Version: 1

Package: deep
Version: 1

Package: virt-extra
Version: 1
Priority: extra
Provides: virt

Package: virt-opt
Version: 1
Priority: optional
Provides: virt, versioned (= 2)

Package: versioned
Version: 1

Package: needs-versioned
Version: 1
Depends: versioned (>= 2)

Package: needs-provided-version
Version: 1
Depends: virt (>= 1)

Package: needs-second
Version: 1
Depends: second

Package: enemy
Version: 1
Conflicts: first (<< 2), virt

Package: breaks-both
Version: 1
Breaks: first, second

Package: self
Version: 1
Provides: virt
Conflicts: virt

Package: loop-a
Version: 1
Depends: loop-b

Package: loop-b
Version: 1
Pre-Depends: loop-a

Package: other-arch
Version: 1
Depends: lib:amd64

Package: any-arch
Version: 1
Depends: lib:any

Package: lost
Version: 1
Depends: nowhere | neither, lib (>= 9)
`

func TestResolve(t *testing.T) {
	ix := indexOf(t, small)
	for _, c := range []struct{ want, drop, packages, dropped, err string }{
		{want: "app", packages: "app deep first lib virt-opt"},
		{want: "app needs-second", packages: "app lib needs-second second virt-opt"}, // what is there anyway is preferred
		{want: "needs-second app", packages: "app lib needs-second second virt-opt"},
		{want: "app virt-extra", packages: "app deep first lib virt-extra"},
		{want: "app", drop: "first", packages: "app lib virt-opt", dropped: "first"},
		{want: "app", drop: "virt lib unused", packages: "app deep first", dropped: "lib virt"},
		{want: "app", drop: "virt-opt", packages: "app deep first lib", dropped: "virt-opt"},
		{want: "needs-versioned", packages: "needs-versioned virt-opt"},
		{want: "needs-provided-version", err: "needs virt (>= 1), but there is no package virt"},
		{want: "virt", packages: "virt-opt"},
		{want: "enemy app", err: "app needs virt, but enemy conflicts with virt"},
		{want: "breaks-both app", err: "app needs first | second, but breaks-both conflicts with first, and breaks-both conflicts with second"},
		{want: "self", packages: "self"},
		{want: "self virt-opt", err: "virt-opt is not available: self conflicts with virt"},
		{want: "loop-a", packages: "loop-a loop-b"},
		{want: "any-arch", packages: "any-arch lib"},
		{want: "other-arch", err: "lib:amd64 is of another architecture"},
		{want: "lost", err: "lost needs lib (>= 9), but lib has version 2.1; lost needs nowhere | neither, but"},
		{want: "secund", err: "there is no package secund for arm64 (did you mean second?)"},
		{want: "wholly-unknown-thing", err: "there is no package wholly-unknown-thing for arm64;"},
	} {
		got, err := ix.Resolve(strings.Fields(c.want), strings.Fields(c.drop))
		if c.err != "" {
			if fault.Code(err) != int(fault.Input) || !strings.Contains(err.Error(), c.err) || len(got.Unmet) == 0 {
				t.Errorf("%s: %v, want %s", c.want, err, c.err)
			}
			continue
		}
		if err != nil || names(got) != c.packages || strings.Join(got.Dropped, " ") != c.dropped {
			t.Errorf("%s without %s: %v\n got %s, dropped %v\nwant %s, dropped %s", c.want, c.drop, err, names(got), got.Dropped, c.packages, c.dropped)
		}
	}
}

func TestNewestVersionWins(t *testing.T) {
	ix := newIndex("arm64")
	security := Suite{Archive: "debian-security", Name: "trixie-security", Components: []string{"main"}}
	old := Suite{Archive: "debian", Name: "bookworm", Only: []string{"b"}}
	stanza := func(name, version, arch string) string {
		return fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: %s\nFilename: pool/%s.deb\nSize: 1\nSHA256: %064d\n\n", name, version, arch, name, 0)
	}
	for _, in := range []struct {
		suite *Suite
		text  string
	}{
		{&trixie[0], stanza("a", "1", "arm64") + stanza("a", "3", "amd64") + stanza("b", "2", "all") + stanza("c", "1:1", "arm64")},
		{&security, stanza("a", "2", "arm64") + stanza("c", "2", "arm64")},
		{&old, stanza("b", "9", "arm64") + stanza("d", "1", "arm64")},
	} {
		if err := ix.add(strings.NewReader(in.text), in.suite); err != nil {
			t.Fatal(err)
		}
	}
	if err := ix.finish(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ suite, name, version string }{
		{"", "a", "2"}, {"", "b", "2"}, {"", "c", "1:1"}, {"", "d", ""}, {"debian/bookworm", "b", "9"}, {"debian/bookworm", "d", ""},
		{"debian/trixie", "c", "1:1"}, {"debian/trixie", "a", ""}, {"debian-security/trixie-security", "a", "2"},
	} {
		p, ok := ix.Newest(c.suite, c.name)
		if ok != (c.version != "") || ok && p.Version != c.version {
			t.Errorf("%s %s: %v %v", c.suite, c.name, p, ok)
		}
	}
	if ix.Len() != 3 {
		t.Errorf("got %v, want 3", ix.Len())
	}
}

func TestIndexRefusesBadStanzas(t *testing.T) {
	good := map[string]string{"Package": "a", "Version": "1", "Architecture": "arm64", "Filename": "pool/a.deb", "Size": "1", "SHA256": strings.Repeat("0", 64)}
	for field, bad := range map[string][]string{
		"Package": {"", "../a", "a b"}, "Version": {"", "1 2"}, "Filename": {"", "/pool/a.deb", "../a.deb", "pool/../../a.deb", "pool/a?.deb", "pool/a"},
		"Size": {"", "-1", "0", "x", "99999999999"}, "SHA256": {"", "00", strings.Repeat("g", 64)}, "Installed-Size": {"-1", "x"},
	} {
		for _, v := range bad {
			var keys []string
			for k := range good {
				keys = append(keys, k)
			}
			slices.Sort(keys)
			text := field + ": " + v + "\n"
			for _, k := range keys {
				if k != field {
					text += k + ": " + good[k] + "\n"
				}
			}
			if err := newIndex("arm64").add(strings.NewReader(text), &trixie[0]); err == nil {
				t.Errorf("%s: %q is accepted", field, v)
			}
		}
	}
}
