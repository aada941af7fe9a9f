package debian

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"imgbuild/init/contract/fault"
)

// wantFault checks an error's kind and that its sentence contains all of parts.
func wantFault(t *testing.T, err error, kind fault.Kind, parts ...string) {
	t.Helper()
	if fault.Code(err) != int(kind) {
		t.Fatalf("code %d, want %d: %v", fault.Code(err), kind, err)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Fatalf("%q is not in: %v", p, err)
		}
	}
}

func published(t *testing.T, o releaseOptions) *archive {
	a := newArchive(t)
	a.add("debian/trixie", "app", "1.0", "Depends: lib", map[string]string{"postinst": "chown a /b\n"}, map[string]string{"usr/": "", "usr/bin/": "", "usr/bin/app": "APP"})
	a.add("debian/trixie", "lib", "2:2.0", "", nil, map[string]string{"usr/lib/lib.so": strings.Repeat("lib", 50000)})
	a.publish("debian/trixie", o)
	return a
}

// TestDebianKeys pins the keys that the program carries: the fingerprints that `gpg --show-keys`
// prints for the files of Debian's package debian-archive-keyring.
func TestDebianKeys(t *testing.T) {
	var got []string
	for _, k := range DebianKeyring() {
		got = append(got, hex.EncodeToString(k.PrimaryKey.Fingerprint))
	}
	want := []string{
		"b8b80b5b623eab6ad8775c45b7c5d7d6350947f8", // Debian 12 automatic
		"05ab90340c0c5e797f44a8c8254cf3b5aec0a8f0", // Debian 12 security automatic
		"4d64fec119c2029067d6e791f8d2585b8783d481", // Debian 12 stable release
		"04b54c3cdca79751b16bc6b5225629df75b188bd", // Debian 13 automatic
		"5e04a1e3223a19a20706e20f9904613d4cce68c6", // Debian 13 security automatic
		"41587f7db8c774bccf131416762f67a0b2c39de4", // Debian 13 stable release
	}
	if !slices.Equal(got, want) {
		t.Fatal(got)
	}
}

func TestIndexAndLock(t *testing.T) {
	a := published(t, releaseOptions{})
	a.add("debian-security/trixie-security", "lib", "2:2.1", "", nil, map[string]string{"x": "y"})
	a.publish("debian-security/trixie-security", releaseOptions{date: archiveDate.Add(48 * time.Hour)})
	boot := a.add("debian/bookworm", "u-boot", "2023", "Depends: nowhere", nil, map[string]string{"usr/u-boot.bin": "boot"})
	a.publish("debian/bookworm", releaseOptions{})
	c := a.client()
	var mu sync.Mutex
	last := map[string][2]int64{}
	c.Progress = func(name string, done, total int64) {
		if !mu.TryLock() {
			t.Error("calls of Progress overlap")
			return
		}
		defer mu.Unlock()
		last[name] = [2]int64{done, total}
	}
	request := Request{Arch: "arm64", Want: []string{"app"}, Pick: []string{"debian/bookworm:u-boot"},
		Suites: append(trixie[:1:1], Suite{Archive: "debian-security", Name: "trixie-security", Components: []string{"main"}})}
	l, err := c.MakeLock(context.Background(), request)
	if err != nil {
		t.Fatal(err)
	}
	if l.Date != "20260914" || len(l.Keys) != 1 || len(l.Suites) != 3 || len(l.Packages) != 3 {
		t.Fatalf("%s", l.Marshal())
	}
	app, _ := l.Find("app")
	lib, _ := l.Find("lib")
	if app.Scripts == "" || lib.Version != "2:2.1" || lib.Archive != "debian-security" || l.Packages[2] != boot {
		t.Fatalf("%s", l.Marshal())
	}
	if again, err := ParseLock("x", l.Marshal()); err != nil || len(l.Diff(again)) != 0 {
		t.Fatal(err)
	}
	for _, name := range []string{"index", "packages"} {
		if p := last[name]; p[0] != p[1] || p[1] == 0 {
			t.Errorf("%s ends with %v", name, p)
		}
	}
	// All is in the cache now: with the archive gone, a build still works.
	a.srv.Close()
	if err := c.Fetch(context.Background(), l.Packages); err != nil {
		t.Fatal(err)
	}
	if got := tarNames(t, c, app, nil); got != "usr usr/bin usr/bin/app=APP" {
		t.Fatal(got)
	}
	if got := tarNames(t, c, app, func(p string) bool { return p == "usr/bin/app" }); got != "usr/bin/app=APP" {
		t.Fatal(got)
	}
	if p := last["decode app"]; p[0] != p[1] || p[1] != app.Size {
		t.Errorf("decode ends with %v", p)
	}
}

// tarNames lists the data of a package.
func tarNames(t *testing.T, c *Client, l Locked, keep func(string) bool) string {
	t.Helper()
	f, err := c.Data(t.Context(), l)
	if keep != nil {
		f, err = c.DataFiltered(t.Context(), l, "test", keep)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []string
	r := tar.NewReader(f)
	for {
		h, err := r.Next()
		if err == io.EOF {
			return strings.Join(out, " ")
		}
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(r)
		s := cleanName(h.Name)
		if len(body) > 0 {
			s += "=" + string(body)
		}
		out = append(out, s)
	}
}

func TestInReleaseIsNotBelieved(t *testing.T) {
	replaceIn := func(a *archive, old, new string) {
		path := "/debian/dists/trixie/InRelease"
		a.set(path, bytes.Replace(a.files[path], []byte(old), []byte(new), 1))
	}
	now := time.Now()
	for _, c := range []struct {
		name    string
		options releaseOptions
		edit    func(a *archive)
		want    []string
	}{
		{"tampered", releaseOptions{}, func(a *archive) { replaceIn(a, "Origin: Test", "Origin: Tost") }, []string{"no good signature"}},
		{"another key", releaseOptions{key: newKey("stranger")}, nil, []string{"not signed by a key of Debian"}},
		{"a login page", releaseOptions{}, func(a *archive) { a.set("/debian/dists/trixie/InRelease", []byte("<html>log in</html>")) }, []string{"not a signed file"}},
		{"truncated", releaseOptions{}, func(a *archive) { replaceIn(a, "-----END PGP SIGNATURE-----\n", "") }, []string{"InRelease"}},
		{"expired", releaseOptions{until: now.Add(-time.Hour)}, nil, []string{"was valid until", "set the clock"}},
		{"another suite", releaseOptions{edit: func(s string) string {
			return strings.Replace(strings.Replace(s, "trixie", "sid", 1), "stable", "unstable", 1)
		}}, nil, []string{"is that of another suite, sid"}},
		{"no hash of the index", releaseOptions{edit: func(s string) string { return strings.ReplaceAll(s, "binary-arm64/", "binary-riscv64/") }}, nil,
			[]string{"no hash of the index of main for arm64"}},
		{"no hashes", releaseOptions{edit: func(s string) string { return s[:strings.Index(s, "SHA256")] }}, nil, []string{"no SHA256"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := published(t, c.options)
			if c.edit != nil {
				c.edit(a)
			}
			client := a.client()
			_, err := a.index(client)
			wantFault(t, err, fault.Verify, append(c.want, "trixie")...)
		})
	}
	t.Run("clock", func(t *testing.T) {
		a := published(t, releaseOptions{until: now.Add(time.Hour)})
		client := a.client()
		if _, err := a.index(client); err != nil {
			t.Fatal(err)
		}
		client.Now = func() time.Time { return time.Unix(0, 0) }
		_, err := a.index(client)
		wantFault(t, err, fault.Verify, "clock of this machine is at 1970")
	})
	t.Run("other architecture", func(t *testing.T) {
		a := published(t, releaseOptions{})
		_, err := a.client().Index(context.Background(), "armhf", trixie)
		wantFault(t, err, fault.Input, "no packages for armhf (it has all arm64)")
	})
	t.Run("unknown suite", func(t *testing.T) {
		a := newArchive(t)
		_, err := a.index(a.client())
		wantFault(t, err, fault.Input, "has no suite trixie", "mirror=URL")
	})
}

func TestIndexByHashThenByName(t *testing.T) {
	a := published(t, releaseOptions{})
	var byHash string
	for path := range a.files {
		if strings.Contains(path, "by-hash") {
			byHash = path
		}
	}
	plain := "/debian/dists/trixie/main/binary-arm64/Packages.gz"
	if _, err := a.index(a.client()); err != nil || a.hit(byHash) != 1 || a.hit(plain) != 0 {
		t.Fatal(err, a.hits)
	}
	a.remove(byHash)
	if _, err := a.index(a.client()); err != nil || a.hit(plain) != 1 {
		t.Fatal(err, a.hits)
	}
	good := a.files[plain]
	for name, bad := range map[string][]byte{"another size": []byte("other"), "another content": append(bytes.Clone(good[:len(good)-1]), good[len(good)-1]^1)} {
		a.set(plain, bad)
		client := a.client()
		_, err := a.index(client)
		wantFault(t, err, fault.Verify, "inconsistent for trixie/arm64", "leave this suite out")
		var e *Inconsistent
		if !errors.As(err, &e) || e.Suite != "trixie" || e.Arch != "arm64" {
			t.Fatal(name, err)
		}
		a.set(plain, good)
		if _, err := a.index(client); err != nil {
			t.Fatalf("after %s the cache is not usable: %v", name, err)
		}
	}
}

func TestFetchNamesWhatIsGone(t *testing.T) {
	a := published(t, releaseOptions{})
	gone := a.add("debian/trixie", "gone", "1", "", nil, nil)
	lost := a.add("debian/trixie", "lost", "2", "", nil, nil)
	here := a.add("debian/trixie", "here", "3", "", nil, map[string]string{"a": "b"})
	a.remove("/debian/" + gone.Pool)
	a.remove("/debian/" + lost.Pool)
	c := a.client()
	err := c.Fetch(context.Background(), []Locked{gone, here, lost})
	wantFault(t, err, fault.Input, "2 of 3 packages", "gone 1, lost 2", "lock=auto")
	var missing *NotFound
	if want := []Locked{gone, lost}; !errors.As(err, &missing) || !slices.Equal(missing.Packages, want) {
		t.Fatalf("got %v, want the packages %v", err, want)
	}
	if got := tarNames(t, c, here, nil); got != "a=b" {
		t.Fatal("the others were not fetched:", got)
	}
	_, err = c.Data(t.Context(), gone)
	wantFault(t, err, fault.Input, "gone is not in the cache", "no longer in the archive: gone 1")
}

func TestDamagedPackage(t *testing.T) {
	a := newArchive(t)
	l := a.add("debian/trixie", "x", "1", "", nil, map[string]string{"a": strings.Repeat("b", 10000)})
	c := a.client()
	// A package that matches its lock but is not a package: an error of the kind Input, and nothing
	// in the cache.
	junk := []byte("!<arch>\njunk")
	sum, err := c.Cache.PutBlob(bytes.NewReader(junk))
	if err != nil {
		t.Fatal(err)
	}
	l.SHA256, l.Size = fmt.Sprintf("%x", sum), int64(len(junk))
	for range 2 {
		_, err = c.Data(t.Context(), l)
		wantFault(t, err, fault.Input, "package x 1 cannot be read")
		_, err = c.Scripts(t.Context(), l)
		wantFault(t, err, fault.Input, "package x 1 cannot be read")
	}
}

func TestMirrorWithoutAddress(t *testing.T) {
	a := published(t, releaseOptions{})
	c := a.client()
	c.Mirrors.Security = ""
	err := c.Fetch(context.Background(), []Locked{{Name: "x", Archive: "debian-security", SHA256: strings.Repeat("0", 64), Size: 1}})
	wantFault(t, err, fault.Input, "debian-security", "mirror=URL")
}

func TestPicks(t *testing.T) {
	a := published(t, releaseOptions{})
	c := a.client()
	for pick, want := range map[string]string{
		"nothing-there":       "there is no package nothing-there",
		"debian/trixie:none":  "there is no package debian/trixie:none",
		"debian:lib":          "is not a package",
		"../x":                "is not a package",
		"debian/nowhere:libx": "has no suite nowhere",
	} {
		_, err := c.MakeLock(context.Background(), Request{Arch: "arm64", Suites: trixie, Want: []string{"app"}, Pick: []string{pick}})
		wantFault(t, err, fault.Input, want)
	}
	l, err := c.MakeLock(context.Background(), Request{Arch: "arm64", Suites: trixie, Want: []string{"lib"}, Pick: []string{"app", "lib"}})
	if err != nil || len(l.Packages) != 2 {
		t.Fatal(l, err)
	}
}
