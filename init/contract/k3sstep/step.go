// Package k3sstep judges every way by which another k3s may come to a node: a bundle, k3s= of a
// build, a download at first boot, restore= and import=. The laptop and the node ask the same
// function, before anything is written.
//
// Kubernetes moves a server's datastore forward by one minor version at a time and never back, and
// wants no kubelet that is newer than its API servers (kubernetes.io, version skew policy). Patch
// releases of one minor version may be exchanged freely.
package k3sstep

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"imgbuild/init/contract/fault"
)

// NoteName is a file in k3s' data directory: the version that had the data last, on one line. It
// moves with the data to another disk.
const NoteName = ".shelf-k3s"

// Version is a release of k3s, such as v1.35.0+k3s1.
type Version struct{ Minor, Patch, Build int }

var form = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^v1\.(\d{1,3})\.(\d{1,3})(?:-[a-z0-9]+)?[+-]k3s(\d{1,3})$`)
})

// Parse reads the name of a release; names of images have a minus sign in place of the plus. ok is
// false for everything else, such as the name of a binary of the user's.
func Parse(name string) (v Version, ok bool) {
	m := form().FindStringSubmatch(name)
	if m == nil {
		return v, false
	}
	v.Minor, _ = strconv.Atoi(m[1])
	v.Patch, _ = strconv.Atoi(m[2])
	v.Build, _ = strconv.Atoi(m[3])
	return v, true
}

// Canonical is the name of a release with a plus sign.
func Canonical(name string) string {
	if i := strings.LastIndex(name, "k3s"); i > 0 {
		return name[:i-1] + "+" + name[i:]
	}
	return name
}

// SameMinor reports whether two releases have the same minor version. Versions that are not those
// of releases have so only if their names are equal.
func SameMinor(a, b string) bool {
	va, okA := Parse(a)
	vb, okB := Parse(b)
	if !okA || !okB {
		return a == b
	}
	return va.Minor == vb.Minor
}

// Change is another k3s for a node.
type Change struct {
	From    string   // the version that had the server's data last; empty if that is not known
	To      string   // the version that would come
	Data    bool     // there are data of a server that To would open
	Agent   bool     // the node is an agent
	Servers []string // of an agent: the versions of its cluster's servers, as far as they are known
}

// Reason is why a change is refused.
type Reason uint8

// The reasons.
const (
	Backward Reason = iota + 1 // a server's data would go back
	Skip                       // a server's data would leave out a minor version
	Ahead                      // an agent would be newer than its servers
)

// Refusal is a change that is refused. It is the cause of Judge's error.
type Refusal struct {
	Reason   Reason
	From, To string
	Between  []string // minor versions that have to come first, v1.31 and so on; of Skip and Ahead
}

// Error reports what is refused.
func (r *Refusal) Error() string {
	switch r.Reason {
	case Backward:
		return fmt.Sprintf("the data of this server are those of k3s %s, and k3s %s is older: a server never moves back", r.From, r.To)
	case Skip:
		return fmt.Sprintf("the data of this server are those of k3s %s, and k3s %s is more than one minor version newer", r.From, r.To)
	}
	return fmt.Sprintf("an agent with k3s %s would be newer than its server with k3s %s", r.To, r.From)
}

// fix is what to do instead.
func (r *Refusal) fix() string {
	switch r.Reason {
	case Backward:
		return "take k3s of the same minor version or the next one; to go back, restore a backup of that version onto a new card"
	case Skip:
		return fmt.Sprintf("take the newest release of each of %s first (https://update.k3s.io/v1-release/channels/%s names it, and so on)", strings.Join(r.Between, ", "), r.Between[0])
	}
	if len(r.Between) > 0 {
		return fmt.Sprintf("upgrade the servers first, by %s", strings.Join(append(r.Between, minorOf(r.To)), ", "))
	}
	return "upgrade the servers first"
}

func minorOf(name string) string {
	v, _ := Parse(name)
	return fmt.Sprintf("v1.%d", v.Minor)
}

// Judge reports why a change must not be made; nil if it may. unknown is a warning, not empty where
// a version is not that of a release, so that nobody can judge.
func (c Change) Judge() (unknown string, err error) {
	to, known := Parse(c.To)
	if c.Agent {
		return c.agent(to, known)
	}
	if !c.Data || c.From == c.To && c.To != "" {
		return "", nil
	}
	from, ok := Parse(c.From)
	switch {
	case !ok || !known:
		return fmt.Sprintf("whether %s can go on with data of %s is not known here; a server moves one minor version at a time", named(c.To), named(c.From)), nil
	case to.Minor < from.Minor:
		return "", refuse(&Refusal{Reason: Backward, From: Canonical(c.From), To: Canonical(c.To)})
	case to.Minor > from.Minor+1:
		return "", refuse(&Refusal{Reason: Skip, From: Canonical(c.From), To: Canonical(c.To), Between: between(from.Minor, to.Minor)})
	}
	return "", nil
}

// agent compares with the oldest server.
func (c Change) agent(to Version, known bool) (unknown string, err error) {
	var worst *Refusal
	for _, s := range c.Servers {
		v, ok := Parse(s)
		switch {
		case (!ok || !known) && s != c.To:
			unknown = fmt.Sprintf("whether %s may run with a server that has %s is not known here; an agent must not be newer than its servers", named(c.To), named(s))
		case ok && known && to.Minor > v.Minor:
			r := &Refusal{Reason: Ahead, From: Canonical(s), To: Canonical(c.To), Between: between(v.Minor, to.Minor)}
			if worst == nil || len(r.Between) > len(worst.Between) {
				worst = r
			}
		}
	}
	if worst != nil {
		return "", refuse(worst)
	}
	return unknown, nil
}

// between names the minor versions between two.
func between(from, to int) (list []string) {
	for minor := from + 1; minor < to; minor++ {
		list = append(list, fmt.Sprintf("v1.%d", minor))
	}
	return list
}

func refuse(r *Refusal) error { return fault.Wrap(r, fault.Input, r.fix(), "") }

// named is a version as people read it.
func named(version string) string {
	if version == "" {
		return "a k3s of unknown version"
	}
	return "k3s " + version
}
