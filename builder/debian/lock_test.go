package debian

import (
	"bytes"
	"os"
	"reflect"
	"strings"
	"testing"

	"imgbuild/init/contract/fault"
)

func sampleLock() *Lock {
	sum := strings.Repeat("0a", 32)
	return &Lock{Date: "20260912", Arch: "arm64", Keys: []string{"aa11"},
		Suites: []LockedSuite{{"debian", "trixie", "2026-09-12T08:00:00Z", sum}, {"debian-security", "trixie-security", "2026-11-21T00:53:03Z", sum}},
		Want:   []string{"bash", "zlib1g"}, Pick: []string{"debian/bookworm:u-boot-exynos", "firmware"}, Drop: []string{"systemd"},
		Packages: []Locked{
			{Name: "bash", Version: "5.2.37-2+b5", Arch: "arm64", Archive: "debian", Pool: "pool/main/b/bash/bash_5.2.37-2+b5_arm64.deb", Size: 1500, SHA256: sum, InstalledSize: 7, Scripts: "0123456789abcdef"},
			{Name: "firmware", Version: "1", Arch: "all", Archive: "debian", Pool: "pool/f.deb", Size: 1, SHA256: sum},
			{Name: "zlib1g", Version: "1:1.3", Arch: "arm64", Archive: "debian-security", Pool: "pool/updates/z.deb", Size: 2, SHA256: sum, InstalledSize: 1},
		}}
}

func TestLockRoundTrip(t *testing.T) {
	l := sampleLock()
	text := l.Marshal()
	golden, err := os.ReadFile("testdata/sample.lock")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(text, golden) {
		t.Errorf("the form of a lock changed:\n%s", text)
	}
	got, err := ParseLock("x", text)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, l) {
		t.Fatalf("%+v\n%+v", got, l)
	}
	// The order in memory does not matter.
	l.Packages[0], l.Packages[2] = l.Packages[2], l.Packages[0]
	l.Suites[0], l.Suites[1] = l.Suites[1], l.Suites[0]
	l.Want = []string{"zlib1g", "bash", "bash"}
	if !bytes.Equal(l.Marshal(), text) {
		t.Fatalf("%s", l.Marshal())
	}
	if p, ok := got.Find("zlib1g"); !ok || p.Version != "1:1.3" {
		t.Fatal(p, ok)
	}
}

func TestLockErrorsNameTheLine(t *testing.T) {
	text := string(sampleLock().Marshal())
	for _, c := range []struct{ old, new, want string }{
		{lockHeader, "imgbuild-lock 2", "line 1: it should be"},
		{text, "", "line 1: the file is empty"},
		{"date 20260912", "date tomorrow", "line 2:"},
		{"date 20260912", "date 20260912\ndate 20260912", "line 3: a second date"},
		{"arch arm64\n", "", "line 11: bash is of the architecture"},
		{"want bash", "wants bash", "line 7: unknown word"},
		{"want bash", "want  bash", "line 7: want takes 1 words"},
		{"want bash", "want", "line 7: want takes 1 words"},
		{"pick firm", "want firm", "line 10: want comes after"},
		{"drop systemd", "arch arm64", "line 11: arch comes after"},
		{"suite debian trixie", "suite debian", "line 5: suite takes 4"},
		{"package bash ", "package bash! ", "is not a package name"},
		{" 1500 ", " 15OO ", "bad size"},
		{" 1500 ", " -1 ", "bad size"},
		{"bash_5.2.37-2+b5_arm64.deb", "../../../etc.deb", "bad pool path"},
		{"0123456789abcdef", "0123", "bad hash of scripts"},
		{" debian-security 2", " elsewhere 2", "neither debian nor"},
		{"package firmware 1 all", "package bash 1 all", "bash is there twice"},
		{" 7 0123", " x 0123", "bad installed size"},
		{"0a0a ", "0AgA ", "sha256"},
	} {
		bad := strings.Replace(text, c.old, c.new, 1)
		if bad == text {
			t.Fatalf("%q is not in the lock", c.old)
		}
		_, err := ParseLock("my.lock", []byte(bad))
		if fault.Code(err) != int(fault.Input) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "my.lock, line ") {
			t.Errorf("%q instead of %q: %v", c.new, c.old, err)
		}
	}
	if _, err := ParseLock("x", []byte(lockHeader+"\ndate 20260101\narch arm64\n")); err == nil || !strings.Contains(err.Error(), "too early") {
		t.Error(err)
	}
	if _, err := ParseLock("x", bytes.Repeat([]byte("x"), 1<<20)); err == nil {
		t.Error("an endless line")
	}
}

func TestLockDiff(t *testing.T) {
	a, b := sampleLock(), sampleLock()
	b.Packages[0].Scripts, b.Packages[2].Pool = "3123456789abcdef", "pool/moved/z.deb" // hashed in another way, and moved: the same files
	if d := a.Diff(b); len(d) != 0 {
		t.Fatalf("%v, want length 0", d)
	}
	b.Packages[0].Version, b.Packages[0].SHA256, b.Packages[0].Scripts = "5.3", strings.Repeat("2c", 32), "1123456789abcdef"
	b.Packages[1].SHA256 = strings.Repeat("1b", 32)
	b.Packages[2].Name, b.Packages[2].Scripts = "aalib", "2123456789abcdef"
	var got []string
	for _, c := range a.Diff(b) {
		got = append(got, c.String())
	}
	want := []string{"+ aalib 1:1.3 (brings maintainer scripts)", "  bash 5.2.37-2+b5 -> 5.3 (maintainer scripts changed)", "  firmware 1: another file", "- zlib1g 1:1.3"}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%q", got)
	}
}

func FuzzParseLock(f *testing.F) {
	f.Add(sampleLock().Marshal())
	f.Add([]byte(lockHeader + "\ndate 20260101\narch armhf\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		l, err := ParseLock("x", text)
		if err != nil {
			return
		}
		out := l.Marshal()
		again, err := ParseLock("x", out)
		if err != nil || !bytes.Equal(again.Marshal(), out) {
			t.Fatalf("%v\n%s", err, out)
		}
	})
}

func TestLockK3s(t *testing.T) {
	l := sampleLock()
	l.K3s = &LockedK3s{"v1.36.1+k3s1", 72900000, strings.Repeat("0a", 32)}
	text := string(l.Marshal())
	got, err := ParseLock("x", []byte(text))
	if err != nil || !reflect.DeepEqual(got, l) {
		t.Fatalf("got %+v, %v", got, err)
	}
	const line = "k3s v1.36.1+k3s1 72900000 "
	for _, bad := range []string{"k3s v1.36.1 72900000 ", "k3s v1.36.1+k3s1/../x 72900000 ", "k3s v1.36.1+k3s1 0 ", "k3s v1.36.1+k3s1 x ", "k3s v1.36.1+k3s1 72900000 0", line + strings.Repeat("0a", 32) + "\n" + line} {
		if _, err := ParseLock("x", []byte(strings.Replace(text, line, bad, 1))); fault.Code(err) != int(fault.Input) {
			t.Errorf("%s: got %v", bad, err)
		}
	}
}
