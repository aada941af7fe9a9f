package debian

import (
	"bufio"
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"imgbuild/init/contract/fault"
)

// Locked is one package of a lock: all that is needed to fetch and to trust it, without any index.
type Locked struct {
	Name, Version, Arch string
	Archive             string // which base address: "debian" or "debian-security"
	Pool                string // path below the base
	Size                int64  // of the .deb, bytes
	SHA256              string // of the .deb, hexadecimal
	InstalledSize       int64  // KiB
	Scripts             string // what its maintainer scripts do, hashed (see ScriptsHash); "" for nothing
}

// LockedSuite is one suite that a lock was made from.
type LockedSuite struct {
	Archive, Suite string
	Date           string // of its InRelease, 2006-01-02T15:04:05Z
	InRelease      string // sha256 of InRelease, hexadecimal
}

// Lock is the exact set of packages of an image.
//
// Its text form is canonical: one thing a line, words separated by one space, each group sorted, so
// that two locks can be compared with diff:
//
//	imgbuild-lock 1
//	date 20260912
//	arch arm64
//	key FINGERPRINT                              each key that signed
//	suite ARCHIVE SUITE DATE SHA256              each suite, InRelease's date and hash
//	want NAME                                    what the closure was made of
//	pick [ARCHIVE/SUITE:]NAME                    packages taken without their dependencies
//	drop NAME
//	k3s VERSION SIZE SHA256                      the release's binary for arch; none where k3s is the program's default
//	package NAME VERSION ARCH ARCHIVE SIZE SHA256 INSTALLED SCRIPTS POOL      SCRIPTS may be "-"
type Lock struct {
	Date             string // YYYYMMDD: that of the newest InRelease
	Arch             string
	Keys             []string
	Suites           []LockedSuite
	Want, Pick, Drop []string
	K3s              *LockedK3s // nil for none
	Packages         []Locked
}

// LockedK3s is the binary of one release of k3s for the lock's architecture.
type LockedK3s struct {
	Version string // v1.36.1+k3s1
	Size    int64  // bytes
	SHA256  string // hexadecimal
}

// k3sVersion is how releases of k3s are called.
var k3sVersion = regexp.MustCompile(`^v1\.[0-9]{1,3}\.[0-9]{1,3}(-[0-9A-Za-z.]{1,20})?\+k3s[0-9]{1,3}$`)

// ValidK3s reports whether a word is the name of a release of k3s.
func ValidK3s(version string) bool { return k3sVersion.MatchString(version) }

const lockHeader = "imgbuild-lock 1"

// Marshal returns the text of the lock.
func (l *Lock) Marshal() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\ndate %s\narch %s\n", lockHeader, l.Date, l.Arch)
	for _, k := range sorted(l.Keys) {
		fmt.Fprintf(&b, "key %s\n", k)
	}
	suites := slices.Clone(l.Suites)
	slices.SortFunc(suites, func(a, b LockedSuite) int {
		return strings.Compare(a.Archive+" "+a.Suite, b.Archive+" "+b.Suite)
	})
	for _, s := range suites {
		fmt.Fprintf(&b, "suite %s %s %s %s\n", s.Archive, s.Suite, s.Date, s.InRelease)
	}
	for _, list := range []struct {
		word  string
		names []string
	}{{"want", l.Want}, {"pick", l.Pick}, {"drop", l.Drop}} {
		for _, n := range sorted(list.names) {
			fmt.Fprintf(&b, "%s %s\n", list.word, n)
		}
	}
	if k := l.K3s; k != nil {
		fmt.Fprintf(&b, "k3s %s %d %s\n", k.Version, k.Size, k.SHA256)
	}
	for _, p := range l.sorted() {
		scripts := p.Scripts
		if scripts == "" {
			scripts = "-"
		}
		fmt.Fprintf(&b, "package %s %s %s %s %d %s %d %s %s\n",
			p.Name, p.Version, p.Arch, p.Archive, p.Size, p.SHA256, p.InstalledSize, scripts, p.Pool)
	}
	return b.Bytes()
}

func sorted(list []string) []string {
	out := slices.Clone(list)
	slices.Sort(out)
	return slices.Compact(out)
}

func (l *Lock) sorted() []Locked {
	out := slices.Clone(l.Packages)
	slices.SortFunc(out, func(a, b Locked) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// ParseLock reads the text of a lock; file names it in errors, which are of the kind Input and give
// the line.
func ParseLock(file string, data []byte) (*Lock, error) {
	l := &Lock{}
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, 1<<16)
	n := 0
	bad := func(what string, args ...any) (*Lock, error) {
		return nil, fault.New(fault.Input, "make the lock again with `imgbuild lock`, or take the one the program carries",
			"%s, line %d: %s", file, n, fmt.Sprintf(what, args...))
	}
	group := 0 // the order of the lines is fixed
	for lines.Scan() {
		n++
		line := lines.Text()
		if n == 1 {
			if line != lockHeader {
				return bad("it should be %q: this is not a lock, or one of another version", lockHeader)
			}
			continue
		}
		word, rest, _ := strings.Cut(line, " ")
		f := strings.Split(rest, " ")
		at := slices.Index([]string{"date", "arch", "key", "suite", "want", "pick", "drop", "k3s", "package"}, word)
		switch {
		case at < 0:
			return bad("unknown word %.40q", word)
		case at < group:
			return bad("%s comes after lines that are later in a lock", word)
		}
		group = at
		if why := l.line(word, f); why != "" {
			return bad("%s", why)
		}
	}
	if err := lines.Err(); err != nil {
		n++
		return bad("%v", err)
	}
	if n == 0 {
		n = 1
		return bad("the file is empty")
	}
	if l.Date == "" || l.Arch == "" || len(l.Packages) == 0 {
		return bad("the lock ends too early: it needs a date, an arch and at least one package")
	}
	return l, nil
}

// line takes one line; it returns what is wrong with it, or "".
func (l *Lock) line(word string, f []string) string {
	counts := map[string]int{"suite": 4, "k3s": 3, "package": 9}
	want := max(counts[word], 1)
	if len(f) != want || slices.Contains(f, "") {
		return fmt.Sprintf("%s takes %d words with one space between them, not %d", word, want, len(f))
	}
	switch word {
	case "date":
		if len(f[0]) != 8 || !allDigits(f[0]) {
			return fmt.Sprintf("%.20q is not a date like 20260131", f[0])
		}
		if l.Date != "" {
			return "a second date"
		}
		l.Date = f[0]
	case "arch":
		if !validName(f[0]) || l.Arch != "" {
			return "a second arch, or a bad one"
		}
		l.Arch = f[0]
	case "key":
		l.Keys = append(l.Keys, f[0])
	case "suite":
		if _, err := parseSum(f[3]); err != nil {
			return err.Error()
		}
		l.Suites = append(l.Suites, LockedSuite{f[0], f[1], f[2], f[3]})
	case "want":
		l.Want = append(l.Want, f[0])
	case "pick":
		l.Pick = append(l.Pick, f[0])
	case "drop":
		l.Drop = append(l.Drop, f[0])
	case "k3s":
		size, err := strconv.ParseInt(f[1], 10, 64)
		_, sumErr := parseSum(f[2])
		switch {
		case l.K3s != nil:
			return "a second k3s"
		case !ValidK3s(f[0]):
			return fmt.Sprintf("%.60q is not a version of k3s", f[0])
		case err != nil || size <= 0:
			return fmt.Sprintf("k3s: bad size %.40q", f[1])
		case sumErr != nil || f[2] != strings.ToLower(f[2]):
			return fmt.Sprintf("k3s: %.80q is not a sha256 in lower case", f[2])
		}
		l.K3s = &LockedK3s{f[0], size, f[2]}
	case "package":
		return l.pkg(f)
	}
	return ""
}

// pkg takes the words of a package line.
func (l *Lock) pkg(f []string) string {
	p := Locked{Name: f[0], Version: f[1], Arch: f[2], Archive: f[3], SHA256: f[5], Scripts: f[7], Pool: f[8]}
	var err, err2 error
	p.Size, err = strconv.ParseInt(f[4], 10, 64)
	p.InstalledSize, err2 = strconv.ParseInt(f[6], 10, 64)
	_, sumErr := parseSum(p.SHA256)
	switch {
	case !validName(p.Name):
		return fmt.Sprintf("%.80q is not a package name", p.Name)
	case p.Arch != l.Arch && p.Arch != "all":
		return fmt.Sprintf("%s is of the architecture %.20q, the lock is for %s", p.Name, p.Arch, l.Arch)
	case p.Archive != "debian" && p.Archive != "debian-security":
		return fmt.Sprintf("%s: the archive %.40q is neither debian nor debian-security", p.Name, p.Archive)
	case err != nil || p.Size <= 0 || p.Size > maxDeb:
		return fmt.Sprintf("%s: bad size %.40q", p.Name, f[4])
	case sumErr != nil || p.SHA256 != strings.ToLower(p.SHA256):
		return fmt.Sprintf("%s: %.80q is not a sha256 in lower case", p.Name, p.SHA256)
	case err2 != nil || p.InstalledSize < 0:
		return fmt.Sprintf("%s: bad installed size %.40q", p.Name, f[6])
	case !cleanPath(p.Pool) || !strings.HasSuffix(p.Pool, ".deb"):
		return fmt.Sprintf("%s: bad pool path %.100q", p.Name, p.Pool)
	case p.Scripts == "-":
		p.Scripts = ""
	case len(p.Scripts) != scriptsHashLen:
		return fmt.Sprintf("%s: bad hash of scripts %.40q", p.Name, p.Scripts)
	}
	if k := len(l.Packages); k > 0 && l.Packages[k-1].Name >= p.Name {
		return fmt.Sprintf("%s is there twice, or the packages are not sorted", p.Name)
	}
	l.Packages = append(l.Packages, p)
	return ""
}

// NoSecurity is what a lock without the security archive is warned about with.
const NoSecurity = "no security suite in this lock"

// Security reports whether the packages come from an index that has Debian's security updates too.
func (l *Lock) Security() bool {
	return slices.ContainsFunc(l.Suites, func(s LockedSuite) bool { return s.Archive == "debian-security" })
}

// Find returns the package called name.
func (l *Lock) Find(name string) (Locked, bool) {
	for _, p := range l.Packages {
		if p.Name == name {
			return p, true
		}
	}
	return Locked{}, false
}

// Change is how one package differs between two locks; Old or New has no name when it is added or
// removed.
type Change struct {
	Old, New Locked
	// Scripts is what its maintainer scripts do no more ("- postinst: LINE") and do now ("+
	// postinst: LINE"), filled by CompareScripts.
	Scripts []string
	same    bool // CompareScripts has found that they do the same
}

// ScriptsChanged reports whether the maintainer scripts do something else now, or are new:
// overlays/ may need a change. Locks have hashes of what scripts do, which an older imgbuild may
// have made in another way: the same file never has other scripts, and CompareScripts clears what
// only differs by that.
func (c Change) ScriptsChanged() bool {
	if c.Old.SHA256 == c.New.SHA256 || c.same {
		return false
	}
	return c.Old.Scripts != c.New.Scripts && c.New.Name != "" && (c.Old.Name != "" || c.New.Scripts != "")
}

// String is a line for people.
func (c Change) String() string {
	var s string
	switch {
	case c.Old.Name == "":
		s = fmt.Sprintf("+ %s %s", c.New.Name, c.New.Version)
	case c.New.Name == "":
		s = fmt.Sprintf("- %s %s", c.Old.Name, c.Old.Version)
	case c.Old.Version != c.New.Version:
		s = fmt.Sprintf("  %s %s -> %s", c.New.Name, c.Old.Version, c.New.Version)
	default:
		s = fmt.Sprintf("  %s %s: another file", c.New.Name, c.New.Version)
	}
	switch {
	case !c.ScriptsChanged():
	case c.Old.Name == "":
		s += " (brings maintainer scripts)"
	default:
		s += " (maintainer scripts changed)"
	}
	return s
}

// Diff lists what is different in the packages of next, sorted by name.
func (l *Lock) Diff(next *Lock) []Change {
	was := map[string]Locked{}
	for _, p := range l.Packages {
		was[p.Name] = p
	}
	var out []Change
	for _, p := range next.Packages {
		if old, ok := was[p.Name]; !ok || old.SHA256 != p.SHA256 {
			out = append(out, Change{Old: old, New: p})
		}
		delete(was, p.Name)
	}
	for _, old := range was {
		out = append(out, Change{Old: old})
	}
	slices.SortFunc(out, func(a, b Change) int { return strings.Compare(a.name(), b.name()) })
	return out
}

func (c Change) name() string {
	if c.New.Name != "" {
		return c.New.Name
	}
	return c.Old.Name
}
