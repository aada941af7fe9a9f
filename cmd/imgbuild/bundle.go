package main

import (
	"context"
	"fmt"
	"path/filepath"

	"imgbuild/builder/blockcache"
	"imgbuild/builder/bundle"
	"imgbuild/cmd/line"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/terminal"
)

var bundleVerb = line.Verb{
	Name:     "bundle",
	Summary:  "Make a signed upgrade of an image, with deltas from older ones.",
	Operands: "FILE",
	Keys: []line.Key{
		{Name: "from", Value: "FILE[,FILE]", Doc: "Older images or bundles that nodes run: a delta from each goes into the bundle."},
		{Name: "floor", Value: "N", Doc: "Security floor: a node that committed it takes nothing below. Default what the program has, or the bundle had."},
		{Name: "expires", Value: "DATE|never", Doc: "Day (2027-01-31, UTC) from which on nodes do not take it from a server. Default never, or what the bundle had."},
		signKey,
		{Name: "out", Value: "FILE", Doc: "The bundle; default FILE with .upgrade instead of .img."},
		cacheKey, line.Output},
	Examples: []string{"imgbuild bundle out/rpi4-worker-20261122-0badc0de.img", "imgbuild bundle new.upgrade from=old.upgrade,older.img expires=2027-01-31"},
	Run:      doBundle,
}

func doBundle(ctx context.Context, a *line.Args) error {
	if len(a.Operands) != 1 {
		return fault.New(fault.Usage, "see `imgbuild help bundle`", "bundle takes one file, an image or a bundle")
	}
	k, err := signingKey(a.Values["key"])
	if err != nil {
		return err
	}
	if k == nil {
		return fault.New(fault.Input, "make one with `imgbuild keygen`, or name it with key=FILE", "there is no key to sign with")
	}
	floor, err := number(a, "floor", 0)
	if err != nil {
		return err
	}
	cache, err := blockcache.Open(a.Values["cache"])
	if err != nil {
		return err
	}
	o := bundle.Order{File: a.Operands[0], From: list(a.Values["from"]), Out: a.Values["out"], Floor: floor, Expires: a.Values["expires"], Key: *k}
	made, err := bundle.Make(ctx, o, cache)
	if err != nil {
		return err
	}
	if a.JSON() {
		return printJSON(made)
	}
	fmt.Printf("%s\n  version %s, signed by key %s, security floor %d\n  %s, of which %s are the slot as a whole\n", made.Bundle, terminal.Text(made.Version), made.Key, made.Floor, size(made.Size), size(made.Pieces))
	for _, d := range made.Deltas {
		fmt.Printf("  from %s: %s\n", filepath.Base(d.From), size(d.Size))
	}
	return nil
}
