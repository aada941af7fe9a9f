// Package recipe turns a board, a role and a few options into the full plan of an image: which
// packages, modules, files and services, and where each comes from. A recipe is data that can be
// printed (imgbuild plan) and hashed: same recipe and same lock, same bytes.
package recipe

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"imgbuild/boards"
	"imgbuild/builder/debian"
	"imgbuild/images"
	"imgbuild/init/contract/checks"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/manifest"
)

// Parts are what a board, a role and the user's choices name. Every stage of a recipe has them:
// Asked, then Locked, then Ready (or Planned). Each stage is made by the one before it only, since
// the struct that holds its fields has no name outside of this package.
type Parts struct {
	Board  *boards.Board  `json:"board"`
	Family *boards.Family `json:"family"`
	Role   *images.Role   `json:"role"`
	Slot   *images.Slot   `json:"slot"`
	Roles  []string       `json:"roles"` // that can run from the slot
	Base   *images.Base   `json:"-"`
	Extra  []string       `json:"extra_packages,omitempty"`
	// Without are suites that are left out of a new lock, because an archive serves them broken.
	Without []string `json:"without_suites,omitempty"`
}

type asked struct {
	Parts
	pins     []debian.Pin
	releases *Releases
}

// Asked is a recipe that goes together. It has the fields of Parts.
type Asked struct{ asked }

// Choice is what a user may choose next to board and role.
type Choice struct {
	Packages []string     // more Debian packages
	Without  []string     // suites to leave out of a new lock
	Pins     []debian.Pin // versions that a new lock takes instead of the newest ones
	Releases *Releases    // of k3s; nil for its own
}

// New finds board and role and checks that they go together, and with the choice. Errors are of
// kind Usage with the nearest match.
func New(board, role string, c Choice) (*Asked, error) {
	b, f, err := boards.Get(board)
	if err != nil {
		return nil, err
	}
	if b == nil {
		return nil, noBoard(board)
	}
	r, s, err := images.Get(role)
	if err != nil {
		return nil, err
	}
	if r == nil {
		return nil, unknown("role", role, images.Names())
	}
	if ok, why := b.Supports(role); !ok {
		return nil, fault.New(fault.Usage, "see `imgbuild boards`", "%s cannot be a %s: %s", board, role, why)
	}
	base, err := images.GetBase()
	if err != nil {
		return nil, err
	}
	if c.Releases == nil {
		c.Releases = Official()
	}
	a := &Asked{asked{Parts: Parts{b, f, r, s, images.RolesOf(r.Slot), base, c.Packages, c.Without}, pins: c.Pins, releases: c.Releases}}
	return a, a.checkWithout()
}

// newer are boards that people have and that no image fits. The nearest known name is not an
// answer: its image does not boot there.
var newer = map[string]string{"rpi5": "Raspberry Pi 5", "pi5": "Raspberry Pi 5", "rpi500": "Raspberry Pi 500", "cm5": "Compute Module 5", "rpi-cm5": "Compute Module 5"}

// noBoard is the error for a board that does not exist, or is not supported.
func noBoard(name string) error {
	if title := newer[name]; title != "" {
		return fault.New(fault.Usage, "the boards are "+strings.Join(boards.Names(), ", "), "the %s is not supported yet: it boots in another way, and an image of another board does not start on it", title)
	}
	return unknown("board", name, boards.Names())
}

func unknown(what, name string, known []string) error {
	fix := "known are " + strings.Join(known, ", ")
	if near := config.NearestWord(name, known); near != "" {
		fix = fmt.Sprintf("did you mean %s? (%s)", near, fix)
	}
	if name == "" {
		return fault.New(fault.Usage, fix, "no %s is given; use %s=NAME", what, what)
	}
	return fault.New(fault.Usage, fix, "there is no %s %q", what, name)
}

// Wanted are the packages that the recipe names itself, sorted, each once; the closure follows from
// them.
func (r *Parts) Wanted() []string {
	seen := map[string]bool{}
	for _, list := range [][]string{r.Base.Packages, r.Slot.Packages, r.Family.Packages, r.Extra} {
		for _, name := range list {
			seen[name] = true
		}
	}
	return sortedKeys(seen)
}

// Modules are the kernel modules of the running system, those of the initramfs included.
func (r *Parts) Modules() []string {
	seen := map[string]bool{}
	for _, list := range [][]string{r.Base.Modules, r.Slot.Modules, r.Family.Kernel.Modules, r.Family.Kernel.Initramfs} {
		for _, name := range list {
			seen[name] = true
		}
	}
	return sortedKeys(seen)
}

func sortedKeys(set map[string]bool) []string {
	var all []string
	for key := range set {
		all = append(all, key)
	}
	sort.Strings(all)
	return all
}

// Request is what the lock of this recipe holds.
func (r *asked) Request() debian.Request {
	q := debian.Request{Arch: r.Family.Arch, Want: r.Wanted(), Drop: r.Base.Drop, Pick: r.Family.Picks, Pin: r.pins}
	for _, s := range r.Base.Suites {
		if slices.Contains(r.Without, s.Name) {
			continue
		}
		// The first suite is the release itself, without which there is nothing to lock.
		optional := slices.Contains(r.Without, Broken) && len(q.Suites) > 0
		q.Suites = append(q.Suites, debian.Suite{Archive: s.Archive, Name: s.Name, Components: s.Components, Optional: optional})
	}
	return q
}

// Broken is the word of without= that leaves out the suites whose indexes do not fit their signed
// InRelease, as long as they do not.
const Broken = "broken"

// checkWithout reports whether the suites to leave out exist and leave something.
func (r *Parts) checkWithout() error {
	var known []string
	for _, s := range r.Base.Suites {
		known = append(known, s.Name)
	}
	for _, name := range r.Without {
		if name != Broken && !slices.Contains(known[1:], name) {
			return fault.New(fault.Usage, "those that can be left out are "+strings.Join(known[1:], ", ")+", or "+Broken, "there is no suite %q to leave out", name)
		}
	}
	return nil
}

// Health is when a node is healthy, for each role of the slot, as the slot's manifest has it.
func (r *Parts) Health() map[string]manifest.Health {
	all := map[string]manifest.Health{}
	for _, name := range r.Roles {
		if h, err := images.HealthOf(name); err == nil { // New has read the data already
			all[name] = manifest.Health{Checks: h.Checks, Deadline: int64(h.Deadline)}
		}
	}
	return all
}

// HealthyWhen describes for people what is true of a healthy node, one line for each check of its
// role.
func (r *Parts) HealthyWhen() []string {
	var lines []string
	for _, name := range r.Health()[r.Role.Name].Checks {
		if c, ok := checks.Find(name); ok {
			lines = append(lines, c.Means)
		}
	}
	return lines
}

// MinMemory is the least memory, in bytes, with which one of the slot's roles may start.
func (r *Parts) MinMemory() int64 {
	least := int64(r.Role.MemoryMB)
	for _, name := range r.Roles {
		if role, _, err := images.Get(name); err == nil && role != nil {
			least = min(least, int64(role.MemoryMB))
		}
	}
	return least << 20
}
