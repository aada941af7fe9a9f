package check

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// mountEntry is one line of /proc/self/mountinfo (proc_pid_mountinfo(5)).
type mountEntry struct {
	target, fstype string
	options, super []string
	shared         bool
}

func (h *Host) mounts() ([]mountEntry, error) {
	text, err := h.read("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var all []mountEntry
	for line := range strings.Lines(text) {
		left, right, ok := strings.Cut(strings.TrimSpace(line), " - ")
		l, r := strings.Fields(left), strings.Fields(right)
		if !ok || len(l) < 6 || len(r) < 2 {
			continue
		}
		e := mountEntry{target: l[4], fstype: r[0], options: strings.Split(l[5], ",")}
		if len(r) > 2 {
			e.super = strings.Split(r[2], ",")
		}
		e.shared = slices.ContainsFunc(l[6:], func(s string) bool { return strings.HasPrefix(s, "shared:") })
		all = append(all, e)
	}
	return all, nil
}

// covering is the mount that a path lies on: the last of those with the longest target.
func (h *Host) covering(name string) (mountEntry, error) {
	all, err := h.mounts()
	if err != nil {
		return mountEntry{}, err
	}
	var best mountEntry
	for _, e := range all {
		under := e.target == "/" || e.target == name || strings.HasPrefix(name, e.target+"/")
		if under && len(e.target) >= len(best.target) {
			best = e
		}
	}
	if best.target == "" {
		return best, fmt.Errorf("nothing is mounted at %s", name)
	}
	return best, nil
}

func (e mountEntry) has(word string) bool {
	either := slices.Contains(e.options, word) || slices.Contains(e.super, word)
	switch {
	case word == "shared":
		return e.shared
	case word == "rw":
		return slices.Contains(e.options, "rw") && !slices.Contains(e.super, "ro")
	case strings.HasPrefix(word, "type="):
		return e.fstype == word[len("type="):]
	case strings.HasPrefix(word, "!"):
		return !e.has(word[1:])
	}
	return either
}

func mount(h *Host, args []string) error {
	e, err := h.covering(h.target(args[0]))
	if err != nil {
		return err
	}
	for _, word := range args[1:] {
		if !e.has(word) {
			return fmt.Errorf("%s lies on %s, which is not %s: %+v", args[0], e.target, word, e)
		}
	}
	return nil
}

func persistent(h *Host, args []string) error {
	if _, err := os.Stat(h.resolve(args[0])); err != nil {
		return err
	}
	return mount(h, []string{h.target(args[0]), "type=ext4", "rw"})
}
