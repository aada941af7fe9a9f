// Package judge runs misbehaving services on a node and reports whether the node bore them. The
// soak command and a short test of package qemu share it.
package judge

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// Program is where the misbehaving program is on the node; see qemu/fixtures/rogue.
const Program = "/opt/rogue"

// Unit is one entry of the section services.
type Unit struct {
	Name string
	Kind string // of rogue
	N    int    // its argument
	More string // further lines, indented as they are below the unit's name
	// Seen is a pattern that shows, in the unit's line of the final look, that it did what it is
	// for: see Look.
	Seen string
}

// Healthy are the services that must never notice what happens next to them.
var Healthy = []Unit{
	{Name: "good-idle", Kind: "idle"},
	{Name: "good-answer", Kind: "answer", N: 7777, More: "ready: {tcp: '127.0.0.1:7777'}\nneeds: [good-idle]\nuser: rancher"},
}

// Rogues returns every way to misbehave once, with numbers that a seed draws, in an order that it
// draws; only chooses those whose name contains it.
func Rogues(seed uint64, only string) []Unit {
	r := rand.New(rand.NewPCG(seed, 3))
	between := func(low, high int) int { return low + r.IntN(high-low+1) }
	quick := "stop_timeout: 2s"
	all := []Unit{
		{Name: "crasher", Kind: "crash", N: between(0, 900), Seen: `last=exit status 3`},
		{Name: "broken", Kind: "broken", N: between(0, 900), More: "restart: on-failure", Seen: `last=killed by SIGKILL`},
		{Name: "missing", Kind: "", Seen: `no such file`},
		{Name: "daemon", Kind: "daemon", N: between(1, 9), Seen: `last=exit status 0`},
		{Name: "bomb", Kind: "bomb", More: fmt.Sprintf("pids: %d", between(16, 48)), Seen: `log=\d{3,}`}, // it prints only what the kernel refused,
		{Name: "deaf", Kind: "deaf", N: between(0, 5), More: quick, Seen: `phase=ready`},
		{Name: "frozen", Kind: "frozen", More: quick, Seen: `phase=ready`},
		{Name: "flood", Kind: "flood", N: between(20, 200), Seen: `log=\d{6,}`},
		{Name: "flood-empty", Kind: "flood", More: "user: rancher", Seen: `log=\d{6,}`},
		{Name: "endless", Kind: "endless", Seen: `log=\d{6,}`},
		{Name: "eat", Kind: "eat", More: fmt.Sprintf("memory: %dM", between(16, 40)), Seen: `out of memory`},
		{Name: "leak", Kind: "leak", Seen: `too many open files`},
		{Name: "zombies", Kind: "zombies", N: between(20, 60), Seen: `phase=ready`},
		{Name: "orphans", Kind: "orphans", N: between(2, 8), Seen: `phase=ready`},
		{Name: "mute", Kind: "mute", More: "ready: {notify: true, timeout: 4s}\n" + quick, Seen: `not ready within 4s`},
		{Name: "chatter", Kind: "chatter", More: "ready: {notify: true}\nuser: rancher", Seen: `phase=ready`},
		{Name: "spin", Kind: "spin", N: between(1, 3), More: fmt.Sprintf("cpu: %d", between(10, 40)), Seen: `phase=ready`},
	}
	all = slices.DeleteFunc(all, func(u Unit) bool { return !strings.Contains(u.Name, only) })
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// Some returns a part of the units, the others with other numbers: what a node looks like after a
// change of its configuration.
func Some(units []Unit, seed uint64) []Unit {
	r := rand.New(rand.NewPCG(seed, 5))
	var out []Unit
	for _, u := range units {
		switch r.IntN(3) {
		case 0: // gone
		case 1:
			u.More += fmt.Sprintf("\nenvironment: {CHANGED: '%d'}", r.IntN(1000))
			out = append(out, u)
		default:
			out = append(out, u)
		}
	}
	return out
}

// running returns those units that are meant to be found running.
func running(units []Unit) (some []Unit) {
	for _, u := range units {
		if u.Seen == `phase=ready` {
			some = append(some, u)
		}
	}
	return some
}

// Services returns the section of a cloud-config.
func Services(units ...Unit) string {
	var b strings.Builder
	b.WriteString("services:\n")
	for _, u := range units {
		command := fmt.Sprintf("[%s, %s, '%d']", Program, u.Kind, u.N)
		if u.Kind == "" {
			command = "[/opt/nothing]"
		}
		fmt.Fprintf(&b, "  %s:\n    command: %s\n", u.Name, command)
		for line := range strings.Lines(strings.TrimSpace(u.More)) {
			fmt.Fprintf(&b, "    %s\n", strings.TrimSpace(line))
		}
	}
	return b.String()
}
