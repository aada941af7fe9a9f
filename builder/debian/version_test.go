package debian

import "testing"

// The pairs follow the text of Debian Policy 5.6.12 and the tests of dpkg and apt.
var versionPairs = []struct {
	a, b string
	want int
}{
	{"1.0", "1.0", 0}, {"1", "1-0", 0}, {"0:1", "1", 0}, {"1.0", "1.00", 0}, {"01", "1", 0}, {"1-00", "1-", 0},
	{"1:0", "2", 1}, {"2:1", "10:1", -1}, {"1.2", "1.10", -1}, {"1.0-1", "1.0-2", -1}, {"1.0-10", "1.0-9", 1},
	{"1.0~rc1", "1.0", -1}, {"1.0~~", "1.0~", -1}, {"1.0~~a", "1.0~", -1}, {"1.0~", "1.0a", -1}, {"1.0", "1.0a", -1},
	{"1.0a", "1.0+", -1}, {"1.0a", "1.0b", -1}, {"1.0Z", "1.0a", -1}, {"1.0.", "1.0", 1}, {"1.0+b1", "1.0", 1},
	{"13.8+deb13u1", "13.8+deb13u5", -1}, {"2.36-9+deb12u4", "2.41-12", -1}, {"1.2.3-4~bpo13+1", "1.2.3-4", -1},
	{"1-2-3", "1-2-4", -1}, {"1-2-3", "1-3", 1}, {"99999999999999999999999", "99999999999999999999998", 1},
	{"1.1.1.a", "1.1.1", 1}, {"", "0", 0}, {"", "~", 1}, {"1:", "1:0", 0}, {"6.12.117-1", "6.12.9-1", 1},
}

func TestCompareVersions(t *testing.T) {
	for _, p := range versionPairs {
		if got := signOf(CompareVersions(p.a, p.b)); got != p.want {
			t.Errorf("%q and %q: %d, want %d", p.a, p.b, got, p.want)
		}
		if got := signOf(CompareVersions(p.b, p.a)); got != -p.want {
			t.Errorf("%q and %q: %d, want %d", p.b, p.a, got, -p.want)
		}
	}
}

func signOf(n int) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	}
	return 0
}

// FuzzCompareVersions checks that the order is total: reflexive, antisymmetric, transitive.
func FuzzCompareVersions(f *testing.F) {
	for i, p := range versionPairs {
		f.Add(p.a, p.b, versionPairs[(i+7)%len(versionPairs)].a)
	}
	f.Fuzz(func(t *testing.T, a, b, c string) {
		ab, ba := signOf(CompareVersions(a, b)), signOf(CompareVersions(b, a))
		bc, ac := signOf(CompareVersions(b, c)), signOf(CompareVersions(a, c))
		switch {
		case CompareVersions(a, a) != 0:
			t.Fatalf("%q is not itself", a)
		case ab != -ba:
			t.Fatalf("%q and %q: %d and %d", a, b, ab, ba)
		case ab <= 0 && bc <= 0 && ac > 0, ab >= 0 && bc >= 0 && ac < 0:
			t.Fatalf("%q %q %q: %d %d %d", a, b, c, ab, bc, ac)
		case ab == 0 && ac != bc:
			t.Fatalf("%q equals %q, but against %q they are %d and %d", a, b, c, ac, bc)
		}
	})
}
