package main

import (
	"context"
	"fmt"

	"imgbuild/builder/recipe"
	"imgbuild/cmd/line"
)

var lock = line.Verb{
	Name:     "lock",
	Summary:  "Lock the newest packages of a board and role into a file, and say what changes.",
	Keys:     []line.Key{boardKey, roleKey, extraKey, withoutKey, {Name: "file", Value: "FILE", Doc: "Where the lock goes; default " + recipe.LocalLock + "."}, mirrorKey, cacheKey},
	Examples: []string{"imgbuild lock board=rpi4 role=worker", "imgbuild lock board=rpi4 role=worker file=node.lock"},
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
		s.screen.done()
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
