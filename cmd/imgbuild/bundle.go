package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"imgbuild/builder/blockcache"
	"imgbuild/builder/bundle"
	"imgbuild/cmd/line"
	format "imgbuild/init/contract/bundle"
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

// bundleResult is what `output=json` prints.
type bundleResult struct {
	Bundle  string        `json:"bundle"`
	Key     string        `json:"key"`
	Size    int64         `json:"size"`
	Pieces  int64         `json:"pieces"`
	Deltas  []bundleDelta `json:"deltas"`
	Version string        `json:"version"`
	Floor   int64         `json:"floor"`
	Expires string        `json:"expires,omitempty"`
}

type bundleDelta struct {
	From string `json:"from"`
	Size int64  `json:"size"`
}

func doBundle(ctx context.Context, a *line.Args) error {
	if len(a.Operands) != 1 {
		return fault.New(fault.Usage, "see `imgbuild help bundle`", "bundle takes one file, an image or a bundle")
	}
	name := a.Operands[0]
	k, err := signingKey(a.Values["key"])
	if err != nil {
		return err
	}
	if k == nil {
		return fault.New(fault.Input, "make one with `imgbuild keygen`, or name it with key=FILE", "there is no key to sign with")
	}
	slot, err := bundle.OpenFile(name)
	if err != nil {
		return err
	}
	defer slot.Close()
	had, kept, err := bundle.Kept(name)
	if err != nil {
		return err
	}
	o := bundle.Options{Floor: bundle.Floor}
	if had != nil {
		o = bundle.Options{Floor: had.Floor, Expires: had.Expires}
	}
	if a.Values["floor"] != "" {
		if o.Floor, err = number(a, "floor", o.Floor); err != nil {
			return err
		}
	}
	if o.Expires, err = expiry(a.Values["expires"], o.Expires); err != nil {
		return err
	}
	b, err := bundle.Sign(slot, *k, o)
	if err != nil {
		return err
	}
	defer b.Close()
	b.Deltas = kept
	cache, err := blockcache.Open(a.Values["cache"])
	if err != nil {
		return err
	}
	var result bundleResult
	for _, from := range strings.Split(a.Values["from"], ",") {
		if from = strings.TrimSpace(from); from == "" {
			continue
		}
		old, err := bundle.OpenFile(from)
		if err != nil {
			return err
		}
		err = b.AddDelta(ctx, cache, old)
		old.Close()
		if err != nil {
			return err
		}
		result.Deltas = append(result.Deltas, bundleDelta{from, b.Deltas[0].Size})
	}
	result.Bundle = a.Values["out"]
	if result.Bundle == "" {
		result.Bundle = strings.TrimSuffix(strings.TrimSuffix(name, ".img"), format.Suffix) + format.Suffix
	}
	if err := bundle.WriteFile(ctx, result.Bundle, b); err != nil {
		return err
	}
	info, err := os.Stat(result.Bundle)
	if err != nil {
		return err
	}
	result.Size, result.Pieces, result.Version, result.Floor = info.Size(), b.Header().Pieces.Size, slot.Slot.Manifest.Version, o.Floor
	result.Key = format.KeyID(k)
	if o.Expires > 0 {
		result.Expires = time.Unix(o.Expires, 0).UTC().Format(time.DateOnly)
	}
	if a.JSON() {
		return printJSON(result)
	}
	fmt.Printf("%s\n  version %s, signed by key %s, security floor %d\n  %s, of which %s are the slot as a whole\n", result.Bundle, terminal.Text(result.Version), result.Key, result.Floor, size(result.Size), size(result.Pieces))
	for _, d := range result.Deltas {
		fmt.Printf("  from %s: %s\n", filepath.Base(d.From), size(d.Size))
	}
	return nil
}

// expiry reads the day of expires=.
func expiry(value string, fallback int64) (int64, error) {
	switch value {
	case "":
		return fallback, nil
	case "never":
		return 0, nil
	}
	t, err := time.Parse(time.DateOnly, value)
	if err != nil || t.Unix() <= 0 {
		return 0, fault.New(fault.Usage, "write it as 2027-01-31, or never", "expires=%s is not a day", value)
	}
	return t.Unix(), nil
}
