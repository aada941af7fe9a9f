package debian

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"imgbuild/init/contract/fault"
)

// TestDamagedCacheHeals: every file of the cache is damaged and keeps its size, as a drive or a
// file system leaves it. One run works.
func TestDamagedCacheHeals(t *testing.T) {
	a := newArchive(t)
	var packages []Locked
	for i := range 40 {
		packages = append(packages, a.add("debian/trixie", fmt.Sprintf("p%02d", i), "1", "", map[string]string{"postinst": "mkdir /x\n"}, map[string]string{"a": strings.Repeat("b", 1000)}))
	}
	a.publish("debian/trixie", releaseOptions{})
	c := a.client()
	if _, err := a.index(c); err != nil {
		t.Fatal(err)
	}
	if err := c.Fetch(t.Context(), packages); err != nil {
		t.Fatal(err)
	}
	damaged := 0
	err := filepath.WalkDir(c.Cache.Dir(), func(name string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || d.Name() == "CACHEDIR.TAG" {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		damaged++
		return os.WriteFile(name, make([]byte, info.Size()), 0o644)
	})
	if err != nil || damaged != 41 {
		t.Fatalf("%d files are damaged: %v, want 41", damaged, err)
	}
	if _, err := a.index(c); err != nil {
		t.Error(err)
	}
	if err := c.Fetch(t.Context(), packages); err != nil {
		t.Fatal(err)
	}
	for i, p := range packages {
		if i%2 == 0 {
			if got := tarNames(t, c, p, nil); !strings.HasPrefix(got, "a=bbb") {
				t.Errorf("%s holds %.20s", p.Name, got)
			}
		} else if d, err := c.Scripts(t.Context(), p); err != nil || len(d.Scripts) != 1 {
			t.Errorf("%s: %v", p.Name, err)
		}
		if n := a.hit("/debian/" + p.Pool); n != 2 {
			t.Errorf("%s was fetched %d times, want 2", p.Name, n)
		}
	}
}

// TestDrip: a server that never falls silent, and never gets anywhere, is given up; one that is
// just fast enough is not.
func TestDrip(t *testing.T) {
	for _, row := range []struct {
		perRead int // bytes in half a second
		slow    bool
	}{{1, true}, {511, true}, {512, false}} {
		a := newArchive(t)
		l := large(a)
		c := a.client()
		c.Stall = 30 * time.Second
		var clock time.Time
		c.Now = func() time.Time { clock = clock.Add(500 * time.Millisecond); return clock } // looked at before and after each read
		c.HTTP = &http.Client{Transport: drip{row.perRead}}
		err := fetch1(c, l)
		if row.slow {
			wantFault(t, err, fault.Network, "less than 1024 bytes a second")
		} else if err != nil && strings.Contains(err.Error(), "bytes a second") {
			t.Errorf("%d bytes a second are too slow: %v", 2*row.perRead, err)
		}
	}
}

// drip answers with a body that gives n bytes a read.
type drip struct{ n int }

func (d drip) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, ContentLength: -1, Request: r, Body: io.NopCloser(&dripping{n: d.n, left: 200 << 10})}, nil
}

type dripping struct{ n, left int }

func (d *dripping) Read(p []byte) (int, error) {
	if d.left <= 0 {
		return 0, io.EOF
	}
	n := min(d.n, d.left, len(p))
	d.left -= n
	return n, nil
}

// TestWrongFileOnceMore: a wrong file is asked for once more, past caches on the way.
func TestWrongFileOnceMore(t *testing.T) {
	a := newArchive(t)
	l := large(a)
	var asked []string
	a.intercept(func(w http.ResponseWriter, r *http.Request, file []byte) bool {
		asked = append(asked, r.Header.Get("Cache-Control"))
		if len(asked) == 1 {
			w.Write(append(bytes.Clone(file[:len(file)-1]), file[len(file)-1]^1))
			return true
		}
		return false
	})
	if err := fetch1(a.client(), l); err != nil {
		t.Fatal(err)
	}
	if len(asked) != 2 || asked[0] != "" || asked[1] != "no-cache" {
		t.Errorf("it was asked for as %q", asked)
	}
}

// TestNextMirror: what one mirror has wrong, or not at all, or does not answer for, comes from the
// next one.
func TestNextMirror(t *testing.T) {
	for name, spoil := range map[string]func(a *archive, w http.ResponseWriter){
		"wrong":   func(_ *archive, w http.ResponseWriter) { w.Write([]byte("<html>log in to this hotel</html>")) },
		"gone":    func(_ *archive, w http.ResponseWriter) { w.WriteHeader(http.StatusNotFound) },
		"refused": func(_ *archive, w http.ResponseWriter) { w.WriteHeader(http.StatusForbidden) },
	} {
		t.Run(name, func(t *testing.T) {
			bad, good := newArchive(t), newArchive(t)
			l := large(good)
			good.publish("debian/trixie", releaseOptions{})
			bad.intercept(func(w http.ResponseWriter, _ *http.Request, _ []byte) bool { spoil(bad, w); return true })
			c := bad.client()
			if err := fetch1(c, l); err == nil {
				t.Fatal("there is no other mirror yet")
			}
			c.Mirrors.OtherMain = []string{good.srv.URL + "/debian"}
			if err := fetch1(c, l); err != nil {
				t.Error(err)
			}
			if _, err := good.index(c); err != nil {
				t.Errorf("the index: %v", err)
			}
		})
	}
	// Nowhere: still the news that a new lock is needed.
	one, two := newArchive(t), newArchive(t)
	l := large(newArchive(t))
	c := one.client()
	c.Mirrors.OtherMain = []string{two.srv.URL + "/debian"}
	err := fetch1(c, l)
	var gone *NotFound
	if !errors.As(err, &gone) || len(gone.Packages) != 1 {
		t.Errorf("a package that no mirror has: %v", err)
	}
}

// TestOptionalSuite: a suite whose index does not fit its InRelease is left out where that is
// allowed, and only then.
func TestOptionalSuite(t *testing.T) {
	a := newArchive(t)
	a.add("debian/trixie", "x", "1", "", nil, nil)
	a.add("debian-security/trixie-security", "x", "2", "", nil, nil)
	a.publish("debian/trixie", releaseOptions{})
	a.publish("debian-security/trixie-security", releaseOptions{})
	suites := []Suite{{Archive: "debian", Name: "trixie", Components: []string{"main"}},
		{Archive: "debian-security", Name: "trixie-security", Components: []string{"main"}, Optional: true}}
	r := Request{Arch: "arm64", Suites: suites, Want: []string{"x"}}
	lock := func() (*Lock, error) { return a.client().MakeLock(t.Context(), r) }
	l, err := lock()
	if err != nil || !l.Security() || l.Packages[0].Version != "2" {
		t.Fatalf("whole: %+v %v", l, err)
	}
	for path := range a.files {
		if strings.Contains(path, "trixie-security/main") {
			a.set(path, []byte("of another day"))
		}
	}
	if l, err = lock(); err != nil || l.Security() || l.Packages[0].Version != "1" || len(l.Suites) != 1 {
		t.Errorf("broken: %+v %v", l, err)
	}
	suites[1].Optional = false
	_, err = lock()
	wantFault(t, err, fault.Verify, "inconsistent for trixie-security/arm64")
}

// TestCompareScripts: a change is shown by lines, and what only another way of hashing makes
// different is none.
func TestCompareScripts(t *testing.T) {
	a := newArchive(t)
	script := func(lines ...string) map[string]string {
		return map[string]string{"postinst": "#!/bin/sh\n" + strings.Join(lines, "\n") + "\n"}
	}
	older := []Locked{
		a.add("debian/trixie", "changed", "1", "", script("mkdir /a", "chmod 1 /a", "ln -s a b"), nil),
		a.add("debian/trixie", "gone", "1", "", script("mkdir /a"), nil),
		a.add("debian/trixie", "rehashed", "1", "", script("mkdir /a", "true"), nil),
		a.add("debian/trixie", "same-file", "1", "", script("mkdir /a"), nil),
	}
	newer := []Locked{
		a.add("debian/trixie", "changed", "2", "", script("mkdir /a", "chmod 2 /a", "ln -s a b"), nil),
		a.add("debian/trixie", "gone", "2", "", script("mkdir /b"), nil),
		a.add("debian/trixie", "rehashed", "2", "", script("mkdir /a", "false"), nil),
		older[3],
	}
	a.remove("/debian/" + older[1].Pool)
	c := a.client()
	if err := c.Fetch(t.Context(), newer); err != nil {
		t.Fatal(err)
	}
	for i := range older {
		older[i].Scripts = "0123456789abcdef" // of an older imgbuild
		d, err := c.Scripts(t.Context(), newer[i])
		if err != nil {
			t.Fatal(err)
		}
		newer[i].Scripts = ScriptsHash(d.Scripts)
	}
	changes := (&Lock{Packages: older}).Diff(&Lock{Packages: newer})
	if err := c.CompareScripts(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, ch := range changes {
		got = append(append(got, ch.String()), ch.Scripts...)
	}
	want := []string{
		"  changed 1 -> 2 (maintainer scripts changed)", "- postinst: chmod 1 /a", "+ postinst: chmod 2 /a",
		"  gone 1 -> 2 (maintainer scripts changed)", "+ postinst: mkdir /b",
		"  rehashed 1 -> 2",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
