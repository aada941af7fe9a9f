package configtrial

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"

	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/k3sstep"
	"imgbuild/init/k3s"
	"imgbuild/init/settings/sources"
)

// Node is what a configuration is examined against.
type Node struct {
	Hostname, Role string
	Facts          config.Facts
	Importer       sources.Importer
	Say            func(format string, args ...any)
}

// Examine reads a configuration as an import would, with everything else that the node has, and
// reports what it would change. keep is the text with its secrets. One that has errors of its own
// is refused.
func (n Node) Examine(text []byte) (keep []byte, plan config.Plan, err error) {
	plan = config.Plan{Hostname: n.Hostname, Role: n.Role, Board: n.Facts.Board}
	var salt [16]byte
	if _, err := rand.Read(salt[:]); err != nil {
		return nil, plan, err
	}
	previous, err := os.ReadFile(sources.Main)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, plan, err
	}
	const name = "config.yaml"
	if empty := config.Empty(name, text); empty != nil {
		return nil, plan, fault.New(fault.Input, empty[0].Fix, "%s", empty[0].Message)
	}
	in, err := config.Import(name, text, previous, salt[:])
	if err != nil {
		return nil, plan, err
	}
	cmdline, _ := os.ReadFile("/proc/cmdline")
	now, _ := sources.Layers("/", string(cmdline))
	from, _ := config.Merge(now...)
	then, parsed := sources.LayersWith("/", string(cmdline), in.Keep)
	to, merged := config.Merge(then...)
	bad := 0
	for _, p := range append(append(parsed, merged...), config.Check(to, n.Facts)...) {
		if p.File == name || p.File == "" {
			if p.Severity != config.Note {
				plan.Problems = append(plan.Problems, p.String())
			}
			if p.Severity == config.Error && p.File == name {
				bad++
			}
		}
	}
	// A token that another file covers would change nothing, and be taken for the cluster's.
	own, _ := config.Parse(name, in.Keep)
	if alone, _ := config.Merge(own); n.Role == k3s.Server {
		if err := k3sstep.Token(alone.K3OS.Token, n.Facts.Token); err != nil && bad == 0 {
			return nil, plan, err
		}
	}
	if bad > 0 {
		return nil, plan, fault.New(fault.Input, "correct it", "%s", joinLines(plan.Problems))
	}
	if err := n.Importer.Fits(in.Keep); err != nil {
		plan.Problems = append(plan.Problems, err.Error())
	}
	for _, c := range config.Diff(from, to) {
		c.When = config.When(c.Path)
		plan.Changes = append(plan.Changes, c)
	}
	if to.RoleOf("") != from.RoleOf("") {
		plan.Role = to.RoleOf("")
	}
	return in.Keep, plan, nil
}

func joinLines(list []string) string {
	text := "the configuration is not taken:"
	for _, s := range list {
		text += "\n  " + s
	}
	return text
}

// Keep writes the imported main file, and BOOT's where it fits.
func (n Node) Keep(text []byte) error {
	stale, err := n.Importer.Keep(text)
	if stale != nil {
		n.Say("config: %v", stale)
	}
	return fault.Wrap(err, fault.Device, "look whether the data partition is full", "keeping the configuration")
}
