package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"imgbuild/builder/debian"
	"imgbuild/builder/order"
	"imgbuild/builder/recipe"
	"imgbuild/cmd/line"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/terminal"
)

var lock = line.Verb{
	Name:    "lock",
	Summary: "Lock the newest packages of a board and role into a file, and show what changes in it.",
	Keys: []line.Key{boardKey, roleKey, extraKey, withoutKey, {Name: "file", Value: "FILE", Doc: "Where the lock goes; default " + recipe.LocalLock + "."},
		{Name: "pin", Value: "PACKAGE=VERSION[,...]", Doc: "Versions to lock instead of the newest ones, of those that the archive still has."},
		{Name: "k3s", Value: "stable|latest|VERSION", Doc: "The release of k3s to lock, by the sums that it publishes; default the one that the file has, else none."}, mirrorKey, cacheKey},
	Examples: []string{"imgbuild lock board=rpi4 role=worker", "imgbuild lock board=rpi4 role=worker file=node.lock", "imgbuild lock board=rpi4 role=worker k3s=stable",
		"imgbuild lock board=rpi4 role=worker pin=openssl=3.5.7-1,libssl3t64=3.5.7-1"},
	Run: func(ctx context.Context, a *line.Args) error {
		screen := newScreen(os.Stderr)
		s, err := order.Open(planOf(a), screen)
		if err != nil {
			return err
		}
		for _, word := range list(a.Values["pin"]) {
			p, err := debian.ParsePin(word)
			if err != nil {
				return err
			}
			s.Recipe.Pins = append(s.Recipe.Pins, p)
		}
		name := a.Values["file"]
		if name == "" {
			name = recipe.LocalLock
		}
		s.Recipe.Replaces(name)
		changes, err := s.Recipe.NewLock(ctx, s.Client)
		if err != nil {
			return err
		}
		switch word := a.Values["k3s"]; {
		case word != "" && !s.Recipe.Slot.K3s:
			return fault.New(fault.Usage, "leave it out", "the role %s has no k3s to lock", s.Recipe.Role.Name)
		case word != "":
			if err := s.Recipe.LockK3s(ctx, word); err != nil {
				return err
			}
		}
		screen.done()
		if k := s.Recipe.Lock.K3s; k != nil {
			fmt.Printf("k3s %s, %d bytes, sha256 %s\n", k.Version, k.Size, k.SHA256)
		}
		if err := recipe.WriteLock(name, s.Recipe.Lock); err != nil {
			return err
		}
		var changed []string
		for _, c := range changes {
			fmt.Println(terminal.Text(c.String()))
			for _, line := range c.Scripts {
				fmt.Println(terminal.Text("      " + line))
			}
			if c.ScriptsChanged() && c.Old.Name != "" {
				changed = append(changed, c.New.Name)
			}
		}
		if changed != nil {
			screen.Warn("the maintainer scripts of "+strings.Join(changed, ", ")+" changed:", "compare the lines above with the tables in overlays/ before you trust this lock")
		}
		if !s.Recipe.Lock.Security() {
			screen.Warn(debian.NoSecurity + ": it lacks Debian's security updates; lock again when the archive is whole")
		}
		fmt.Printf("%s: %d packages, %d changes, dated %s\n", name, len(s.Recipe.Lock.Packages), len(changes), s.Recipe.Lock.Date)
		return nil
	},
}
