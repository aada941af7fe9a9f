package network

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"imgbuild/qemu/tool"
)

// glibcReads returns the name servers and search domains that Debian 13's resolver takes of a
// resolv.conf.
func glibcReads(t *testing.T, text []byte) (out []string) {
	t.Helper()
	dir := t.TempDir()
	script, err := os.ReadFile("testdata/resolver.lua")
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"resolv.conf": text, "resolver.lua": script} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd, err := tool.Inside(t.Context(), map[string]string{"/etc": dir}, "luajit", "/etc/resolver.lua")
	if err != nil {
		t.Fatal(err)
	}
	got, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, got)
	}
	return strings.Split(strings.TrimSpace(string(got)), "\n")
}

// What is written is what glibc uses, in the same order: no name server and no domain is lost, and
// no value becomes another keyword.
func TestGlibcReads(t *testing.T) {
	if got := glibcReads(t, []byte("nameserver 192.0.2.1\nnameserver nonsense\nsearch a b.c\n")); !slices.Equal(got, []string{"nameserver 192.0.2.1", "search a", "search b.c"}) {
		t.Fatalf("the reader gives %q", got)
	}
	r := rand.New(rand.NewPCG(9, 12))
	servers := []string{"192.0.2.1", "10.0.0.1", "127.0.0.1", "255.255.255.255", "2001:db8::1", "fe80::1%lo", "::1", "::ffff:192.0.2.7", "0.0.0.0", "::", "2001:db8:1:2:3:4:5:6"}
	letters := []rune("abcXYZ0129-.__ #;\t\n\"'\\$%/:\u00e4")
	for round := range 60 {
		var addresses []netip.Addr
		for range r.IntN(6) {
			addresses = append(addresses, netip.MustParseAddr(servers[r.IntN(len(servers))]))
		}
		var search []string
		for range r.IntN(9) {
			from := letters
			if r.IntN(3) > 0 {
				from = letters[:12]
			}
			var b strings.Builder
			for range 1 + r.IntN(12+round) {
				b.WriteRune(from[r.IntN(len(from))])
			}
			search = append(search, b.String())
		}
		text := resolvConf(addresses, search)
		var want []string
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			switch f[0] {
			case "nameserver":
				a := netip.MustParseAddr(f[1])
				if a.Is4() {
					want = append(want, line[:len(line)-1])
					continue
				}
				scope := 0
				if a.Zone() == "lo" {
					scope = 1
				}
				b := a.As16()
				want = append(want, fmt.Sprintf("nameserver %s %d", hex.EncodeToString(b[:]), scope))
			case "search":
				for _, d := range f[1:] {
					want = append(want, "search "+d)
				}
			}
		}
		got := glibcReads(t, text)
		if len(want) == 0 || !strings.HasPrefix(want[0], "nameserver") { // glibc's default
			if len(got) == 0 || got[0] != "nameserver 127.0.0.1" {
				t.Errorf("without a name server glibc has %q", got)
			} else {
				got = got[1:]
			}
		}
		if !strings.Contains(string(text), "search") { // glibc takes the domain of the host's name
			got = slices.DeleteFunc(got, func(s string) bool { return strings.HasPrefix(s, "search") })
		}
		if !slices.Equal(got, want) {
			t.Errorf("glibc has\n%q, want\n%q of\n%s", got, want, text)
		}
		// Nothing that was asked for is missing for another reason than the limits.
		if d := domains(search...); len(d) > 0 && len(d[0]) < maxSearchBytes && !slices.Contains(want, "search "+d[0]) {
			t.Errorf("the first domain %q is missing in\n%s", d[0], text)
		}
	}
}
