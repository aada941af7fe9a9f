package blocklist

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// What a list has besides names is left out and counted; the rest is used.
func TestParse(t *testing.T) {
	for _, c := range []struct {
		name, in, want string
		left           Left
	}{
		{"hosts form", "# a list\n127.0.0.1 localhost\n::1 ip6-localhost ip6-loopback\n0.0.0.0 0.0.0.0\n0.0.0.0 b.example.com a.example.com # both\n127.0.0.1\tC.Example.com.\r\n:: a.example.com\n\n", "a.example.com b.example.com c.example.com", Left{}},
		{"a page", "<html>\n<body>Not found</body>\n</html>\n0.0.0.0 a.example.com", "a.example.com", Left{Form: 3}},
		{"no names", "0.0.0.0\n0.0.0.0 -->< ä.example.com a..b 1.2.3.4 x/y.example.com\n", "", Left{Form: 1, Name: 5}},
		{"names that lead elsewhere", "203.0.113.9 bank.example.com\n0.0.0.0 ads.example.com\n", "ads.example.com", Left{Target: 1}},
		{"names of many", "0.0.0.0 com co.uk github.io printer\n0.0.0.0 a.co.uk\n", "a.co.uk", Left{Broad: 4}},
		{"more than the limit", "0.0.0.0 a.example.com b.example.com c.example.com d.example.com\n", "a.example.com b.example.com c.example.com", Left{Many: 1}},
		{"a long line", "0.0.0.0 a.example.com\n" + strings.Repeat("0.0.0.0 ", 10000) + "\n0.0.0.0 b.example.com\n", "a.example.com b.example.com", Left{Form: 1}},
		{"a long line at the end", strings.Repeat("a", maxLine), "", Left{Form: 1}},
		{"nothing", "", "", Left{}},
		{"a long name", "0.0.0.0 " + strings.Repeat("a", 64) + ".example.com " + strings.Repeat("a.", 127) + "com\n", "", Left{Name: 2}},
		{"zeros", "\x00\x00\n0.0.0.0 a.example.com\x00\n", "", Left{Form: 1, Name: 1}},
	} {
		got, left, err := Parse(strings.NewReader(c.in), 3)
		if err != nil || strings.Join(got, " ") != c.want || !maps.Equal(left, c.left) {
			t.Errorf("%s: got %q, %v, %v, want %q, %v", c.name, got, left, err, c.want, c.left)
		}
	}
}

type endless struct{ line string }

func (e endless) Read(p []byte) (int, error) { return copy(p, e.line), nil }

// A list without an end is refused, and a million lines are not too many to read.
func TestParseLong(t *testing.T) {
	if names, _, err := Parse(endless{"0.0.0.0 a.example.com # " + strings.Repeat("x", 3000) + "\n"}, 10); err == nil || len(names) != 0 {
		t.Errorf("got %d names, %v, want an error", len(names), err)
	}
	var b strings.Builder
	for i := range 1_000_000 {
		fmt.Fprintf(&b, "0.0.0.0 n%d.example.com\n", i)
	}
	names, left, err := Parse(strings.NewReader(b.String()), MaxNames)
	if err != nil || len(names) != MaxNames || left[Many] != 1_000_000-MaxNames {
		t.Errorf("got %d names, %v, %v", len(names), left, err)
	}
}

// Names that are blocked by another one are not there twice, and none of ours is blocked.
func TestMerge(t *testing.T) {
	ours := []string{"nas.lan.example.org", "node1"}
	got, left := Merge([][]string{
		{"a.example.com", "example.org", "lan.example.org", "nas.lan.example.org", "tv.lan.example.org"},
		{"a.example.com", "b.a.example.com", "ba.example.com", "node1.shelf", "printer.local"},
	}, ours, 10)
	if want := []string{"a.example.com", "ba.example.com", "tv.lan.example.org"}; !slices.Equal(got, want) || !maps.Equal(left, Left{Ours: 5}) {
		t.Errorf("got %v, %v, want %v", got, left, want)
	}
	got, left = Merge([][]string{{"a.example.com", "b.example.com"}, {"c.example.com"}}, nil, 2)
	if len(got) != 2 || left[Many] != 1 {
		t.Errorf("got %v, %v", got, left)
	}
}

// Whatever a list is, what comes out is names that dnsmasq takes, sorted and each once, and
// reading them again gives the same.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"0.0.0.0 a.example.com\n", "<html>", "127.0.0.1 a b # c", "::1 x.y", "0.0.0.0 a.b/c", "\x00\xff 0.0.0.0 \x80.b", strings.Repeat("0.0.0.0 x.y ", 500)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		names, _, err := Parse(strings.NewReader(string(data)), 100)
		if err != nil {
			t.Fatal(err)
		}
		if len(names) > 100 || !slices.IsSorted(names) {
			t.Fatalf("got %q", names)
		}
		var again strings.Builder
		for _, n := range names {
			if strings.Trim(n, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" || !strings.Contains(n, ".") || strings.Contains(n, "..") {
				t.Fatalf("got the name %q", n)
			}
			again.WriteString("0.0.0.0 " + n + "\n")
		}
		if got, left, err := Parse(strings.NewReader(again.String()), 100); err != nil || !slices.Equal(got, names) || len(left) != 0 {
			t.Fatalf("again: got %q, %v, %v, want %q", got, left, err, names)
		}
	})
}
