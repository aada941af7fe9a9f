package main

import (
	"context"
	"os"

	"imgbuild/builder/fleet"
	"imgbuild/cmd/line"
	"imgbuild/init/contract/fault"
)

var (
	poweroffVerb = haltVerb(fleet.Poweroff, "Switch nodes off")
	rebootVerb   = haltVerb(fleet.Reboot, "Reboot nodes")
)

// haltVerb makes a verb that stops nodes in order.
func haltVerb(name, what string) line.Verb {
	return line.Verb{
		Name:     name,
		Operands: "NODE... | HOST... | all",
		Words:    "all",
		Summary:  what + " in order: first those with pods, then storage, when its clients have closed their files or after 60 s, routers last. One that has not stopped after 120 s is named, the rest goes on, and the command ends with 7.",
		Keys:     []line.Key{userKey, identityKey, hostKey},
		Examples: []string{"imgbuild " + name + " all", "imgbuild " + name + " node2 storage1"},
		Run: func(ctx context.Context, a *line.Args) error {
			if len(a.Operands) == 0 {
				return fault.New(fault.Usage, "run `imgbuild "+name+" NODE`, or `imgbuild "+name+" all`", "%s needs a node", name)
			}
			targets, login, err := targetsOf(a, nil)
			if err != nil {
				return err
			}
			return fleet.Halt(ctx, targets, fleet.Halting{Verb: name, Login: login, Out: os.Stdout})
		},
	}
}
