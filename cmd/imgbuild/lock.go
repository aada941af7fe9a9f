package main

import (
	"context"
	"fmt"

	"imgbuild/builder/recipe"
	"imgbuild/cmd/line"
	"imgbuild/init/contract/fault"
)

var lock = line.Verb{
	Name:    "lock",
	Summary: "Lock the newest packages of a board and role into a file, and say what changes.",
	Keys: []line.Key{boardKey, roleKey, extraKey, withoutKey, {Name: "file", Value: "FILE", Doc: "Where the lock goes; default " + recipe.LocalLock + "."},
		{Name: "k3s", Value: "stable|latest|VERSION", Doc: "The release of k3s to lock, by the sums that it publishes; default the one that the file has, else none."}, mirrorKey, cacheKey},
	Examples: []string{"imgbuild lock board=rpi4 role=worker", "imgbuild lock board=rpi4 role=worker file=node.lock", "imgbuild lock board=rpi4 role=worker k3s=stable"},
	Run: func(ctx context.Context, a *line.Args) error {
		s, err := open(a)
		if err != nil {
			return err
		}
		name := a.Values["file"]
		if name == "" {
			name = recipe.LocalLock
		}
		changes, err := s.recipe.NewLock(ctx, s.client)
		if err != nil {
			return err
		}
		switch word := a.Values["k3s"]; {
		case word != "" && !s.recipe.Slot.K3s:
			return fault.New(fault.Usage, "leave it out", "the role %s has no k3s to lock", s.recipe.Role.Name)
		case word != "":
			if err := s.recipe.LockK3s(ctx, word); err != nil {
				return err
			}
		default:
			s.recipe.KeepK3s(name)
		}
		s.screen.done()
		if k := s.recipe.Lock.K3s; k != nil {
			fmt.Printf("k3s %s, %d bytes, sha256 %s\n", k.Version, k.Size, k.SHA256)
		}
		if err := recipe.WriteLock(name, s.recipe.Lock); err != nil {
			return err
		}
		for _, c := range changes {
			fmt.Println(c)
			if c.ScriptsChanged() && c.Old.Name != "" {
				s.screen.warn("the maintainer scripts of "+c.New.Name+" changed:", "compare what they do with the tables in overlays/ before you trust this lock")
			}
		}
		fmt.Printf("%s: %d packages, %d changes, dated %s\n", name, len(s.recipe.Lock.Packages), len(changes), s.recipe.Lock.Date)
		return nil
	},
}
