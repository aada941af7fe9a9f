package bundle

import (
	"context"
	"os"
	"strings"
	"time"

	"aead.dev/minisign"

	"imgbuild/builder/blockcache"
	"imgbuild/init/contract/bundle"
	"imgbuild/init/contract/fault"
)

// Order is what `imgbuild bundle` asks for.
type Order struct {
	File    string   // an image or a bundle
	From    []string // images or bundles that nodes run, for deltas
	Out     string   // empty: File with the suffix of bundles
	Floor   int64    // 0: what the program has, or the bundle had
	Expires string   // YYYY-MM-DD (UTC), never, or empty: what the bundle had
	Key     minisign.PrivateKey
}

// Made is a bundle that was written. Sizes are in bytes.
type Made struct {
	Bundle  string      `json:"bundle"`
	Key     string      `json:"key"`
	Size    int64       `json:"size"`
	Pieces  int64       `json:"pieces"`
	Deltas  []MadeDelta `json:"deltas"`
	Version string      `json:"version"`
	Floor   int64       `json:"floor"`
	Expires string      `json:"expires,omitempty"`
}

// MadeDelta is a delta that was made for it.
type MadeDelta struct {
	From string `json:"from"`
	Size int64  `json:"size"`
}

// Make signs the slot of a file, with the deltas that it has and those asked for, into a bundle. On
// an error nothing is left under the bundle's name.
func Make(ctx context.Context, o Order, cache *blockcache.Cache) (*Made, error) {
	slot, err := OpenFile(o.File)
	if err != nil {
		return nil, err
	}
	defer slot.Close()
	had, kept, err := Kept(o.File)
	if err != nil {
		return nil, err
	}
	opt, err := o.options(had)
	if err != nil {
		return nil, err
	}
	if opt.Firmware, err = firmwareOf(ctx, o.File, had); err != nil {
		return nil, err
	}
	b, err := Sign(slot, o.Key, opt)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	b.Deltas = kept
	made := &Made{Bundle: o.Out, Key: bundle.KeyID(&o.Key), Version: slot.Slot.Manifest.Version, Floor: opt.Floor}
	for _, from := range o.From {
		size, err := b.addFrom(ctx, cache, from)
		if err != nil {
			return nil, err
		}
		made.Deltas = append(made.Deltas, MadeDelta{from, size})
	}
	if made.Bundle == "" {
		made.Bundle = strings.TrimSuffix(strings.TrimSuffix(o.File, ".img"), bundle.Suffix) + bundle.Suffix
	}
	if err := WriteFile(ctx, made.Bundle, b); err != nil {
		return nil, err
	}
	info, err := os.Stat(made.Bundle)
	if err != nil {
		return nil, err
	}
	made.Size, made.Pieces = info.Size(), b.Header().Pieces.Size
	if opt.Expires > 0 {
		made.Expires = time.Unix(opt.Expires, 0).UTC().Format(time.DateOnly)
	}
	return made, nil
}

// options are floor and expiry: those that are asked for, else those of the bundle before, else the
// program's.
func (o Order) options(had *bundle.Manifest) (Options, error) {
	opt := Options{Floor: Floor}
	if had != nil {
		opt = Options{Floor: had.Floor, Expires: had.Expires}
	}
	if o.Floor > 0 {
		opt.Floor = o.Floor
	}
	switch o.Expires {
	case "":
	case "never":
		opt.Expires = 0
	default:
		t, err := time.Parse(time.DateOnly, o.Expires)
		if err != nil || t.Unix() <= 0 {
			return opt, fault.New(fault.Usage, "write it as 2027-01-31, or never", "expires=%s is not a day", o.Expires)
		}
		opt.Expires = t.Unix()
	}
	return opt, nil
}

// addFrom adds the delta from the slot of a file, and gives its size.
func (b *Bundle) addFrom(ctx context.Context, cache *blockcache.Cache, from string) (int64, error) {
	old, err := OpenFile(from)
	if err != nil {
		return 0, err
	}
	defer old.Close()
	if err := b.AddDelta(ctx, cache, old); err != nil {
		return 0, err
	}
	return b.Deltas[0].Size, nil
}
