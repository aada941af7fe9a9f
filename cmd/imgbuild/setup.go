package main

import (
	"strings"

	"imgbuild/boards"
	"imgbuild/builder/order"
	"imgbuild/cmd/line"
	"imgbuild/images"
)

// The keys that every verb with an archive, a board or a role takes.
var (
	boardKey   = line.Key{Name: "board", Value: "NAME", Words: boards.Names(), Doc: "The machine; `imgbuild boards` lists them."}
	roleKey    = line.Key{Name: "role", Value: "NAME", Words: images.Names(), Doc: "What it is for; `imgbuild roles` lists them."}
	k3sKey     = line.Key{Name: "k3s", Value: "auto|VERSION|FILE|firstboot|none", Doc: "Where k3s comes from. auto embeds the pinned version if it is available."}
	lockKey    = line.Key{Name: "lock", Value: "auto|FILE", Doc: "The exact packages. auto: ./imgbuild.lock or the one inside, made again where the archive lost a package."}
	mirrorKey  = line.Key{Name: "mirror", Value: "URL[,SECURITY-URL]", Doc: "Debian archive; else IMGBUILD_MIRROR, else the host's own apt sources."}
	cacheKey   = line.Key{Name: "cache", Value: "DIR", Doc: "Downloads and compressed blocks; default ~/.cache/imgbuild. Builds keep it below 8 GiB."}
	withoutKey = line.Key{Name: "without", Value: "SUITE,SUITE", Doc: "Suites to leave out of a new lock, or `broken`: those that the archive serves broken. Without trixie-security you lose its fixes."}
	extraKey   = line.Key{Name: "packages", Value: "A,B", Doc: "More Debian packages in the root; locked for this build."}
)

// planOf is what the keys of every verb with a board and a role ask for.
func planOf(a *line.Args) order.Plan {
	return order.Plan{Board: a.Values["board"], Role: a.Values["role"], Packages: list(a.Values["packages"]), Without: list(a.Values["without"]),
		Mirror: a.Values["mirror"], Cache: a.Values["cache"]}
}

// list takes a value with commas apart.
func list(value string) (words []string) {
	for _, w := range strings.Split(value, ",") {
		if w = strings.TrimSpace(w); w != "" {
			words = append(words, w)
		}
	}
	return words
}
