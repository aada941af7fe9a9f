package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"aead.dev/minisign"

	"imgbuild/builder/blockcache"
	"imgbuild/builder/bundle"
	"imgbuild/cmd/line"
	format "imgbuild/init/contract/bundle"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/terminal"
	"imgbuild/init/contract/userfile"
)

var bundleVerb = line.Verb{
	Name:     "bundle",
	Summary:  "Make a signed upgrade of an image, with deltas from older ones.",
	Operands: "FILE...",
	Keys: []line.Key{
		{Name: "from", Value: "FILE[,FILE]", Doc: "Older images or bundles that nodes run: a delta from each goes into the bundle."},
		{Name: "floor", Value: "N", Doc: "Security floor: a node that committed it takes nothing below. Default what the program has, or the bundle had."},
		{Name: "expires", Value: "DATE|never", Doc: "Day (2027-01-31, UTC) from which on nodes do not take it from a server. Default never, or what the bundle had."},
		{Name: "channel", Value: "FILE", Doc: "Write and sign the channel that nodes with upgrade.auto follow, from bundles that are there: one for each family and role. FILE.minisig is its signature."},
		{Name: "oci", Value: "REF", Doc: "Make a container image of bundles that are there, for a Plan of the system-upgrade-controller: HOST/NAME[:TAG] in a registry, or FILE.tar. The tag is the version by default."},
		signKey,
		{Name: "out", Value: "FILE", Doc: "The bundle; default FILE with .upgrade instead of .img."},
		cacheKey, line.Output},
	Examples: []string{"imgbuild bundle out/rpi4-worker-20261122-0badc0de.img", "imgbuild bundle new.upgrade from=old.upgrade,older.img expires=2027-01-31", "imgbuild bundle channel=out/shelf.channel out/server.upgrade out/nas.upgrade",
		"imgbuild bundle oci=registry.lan/shelf out/rpi4-worker-20261122-0badc0de.upgrade"},
	Run: doBundle,
}

func doBundle(ctx context.Context, a *line.Args) error {
	switch {
	case a.Values["oci"] != "":
		return doPlanImage(ctx, a)
	case a.Values["channel"] != "":
		return doChannel(a)
	case len(a.Operands) != 1:
		return fault.New(fault.Usage, "see `imgbuild help bundle`", "bundle takes one file, an image or a bundle")
	}
	k, err := signerOf(a, append(list(a.Values["from"]), a.Operands...))
	if err != nil {
		return err
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

// signerOf returns the key to sign with. Files that cannot be opened are reported before somebody
// types a passphrase.
func signerOf(a *line.Args, files []string) (*minisign.PrivateKey, error) {
	for _, name := range files {
		f, err := userfile.Open("", name)
		if err != nil {
			return nil, err
		}
		f.Close()
	}
	k, err := signingKey(a.Values["sign"])
	if err == nil && k == nil {
		err = fault.New(fault.Input, "make one with `imgbuild keygen`, or name it with sign=FILE", "there is no key to sign with")
	}
	return k, err
}

// doChannel writes the channel that names the bundles given.
func doChannel(a *line.Args) error {
	for _, other := range []string{"from", "floor", "expires", "out"} {
		if a.Values[other] != "" {
			return fault.New(fault.Usage, "make the bundle first", "channel= and %s= do not go together", other)
		}
	}
	if len(a.Operands) == 0 {
		return fault.New(fault.Usage, "see `imgbuild help bundle`", "channel= wants the bundles that nodes are to run")
	}
	k, err := signerOf(a, a.Operands)
	if err != nil {
		return err
	}
	c, err := bundle.WriteChannel(a.Values["channel"], a.Operands, *k, time.Now().Unix())
	if err != nil {
		return err
	}
	if a.JSON() {
		return printJSON(c)
	}
	fmt.Printf("%s, signed by key %s\n", a.Values["channel"], format.KeyID(k))
	for _, s := range c.Systems {
		fmt.Printf("  %s, %s: %s (%s)\n", s.Family, strings.Join(s.Roles, ", "), s.Version, s.Bundle)
	}
	return nil
}
