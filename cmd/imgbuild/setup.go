package main

import (
	"fmt"
	"os"
	"strings"

	"imgbuild/builder/blockcache"
	"imgbuild/builder/debian"
	"imgbuild/builder/image"
	"imgbuild/builder/recipe"
)

// The keys that every verb with an archive, a board or a role takes.
var (
	boardKey   = key{name: "board", value: "NAME", doc: "The machine; `imgbuild boards` lists them."}
	roleKey    = key{name: "role", value: "NAME", doc: "What it is for; `imgbuild roles` lists them."}
	k3sKey     = key{name: "k3s", value: "auto|VERSION|FILE|firstboot|none", doc: "Where k3s comes from. auto embeds the pinned version if it can be had."}
	lockKey    = key{name: "lock", value: "auto|FILE", doc: "The exact packages. auto: ./imgbuild.lock or the one inside, made anew where the archive lost a package."}
	mirrorKey  = key{name: "mirror", value: "URL[,SECURITY-URL]", doc: "Debian archive; else IMGBUILD_MIRROR, else the host's own apt sources."}
	cacheKey   = key{name: "cache", value: "DIR", doc: "Downloads and compressed blocks; default ~/.cache/imgbuild. Builds keep it below 8 GiB."}
	withoutKey = key{name: "without", value: "SUITE,SUITE", doc: "Suites to leave out of a new lock, where an archive serves them broken: trixie-security loses you its fixes."}
	extraKey   = key{name: "packages", value: "A,B", doc: "More Debian packages in the root; locked for this build."}
)

// cacheLimit is what a build leaves in the cache; one board's packages take about half a GiB.
const cacheLimit = 8 << 30

// session is what a verb works with.
type session struct {
	recipe *recipe.Recipe
	cache  *blockcache.Cache
	client *debian.Client
	screen *screen
}

// open checks board and role before it touches cache or network.
func open(a *args) (*session, error) {
	r, err := recipe.New(a.values["board"], a.values["role"])
	if err != nil {
		return nil, err
	}
	for _, name := range strings.Split(a.values["packages"], ",") {
		if name = strings.TrimSpace(name); name != "" {
			r.Extra = append(r.Extra, name)
		}
	}
	for _, name := range strings.Split(a.values["without"], ",") {
		if name = strings.TrimSpace(name); name != "" {
			r.Without = append(r.Without, name)
		}
	}
	if err := r.CheckWithout(); err != nil {
		return nil, err
	}
	if err := image.Prepare(r); err != nil {
		return nil, err
	}
	s := &session{recipe: r, screen: newScreen(os.Stderr)}
	if s.cache, err = blockcache.Open(a.values["cache"]); err != nil {
		return nil, err
	}
	mirrors, err := archive(a.values["mirror"])
	if err != nil {
		return nil, err
	}
	s.client = debian.NewClient(debian.Options{Cache: s.cache, Mirrors: mirrors, Progress: s.screen.progress})
	return s, nil
}

// archive finds the Debian archive: the key, the environment, the host's apt sources.
func archive(value string) (debian.Mirrors, error) {
	if value == "" {
		value = os.Getenv("IMGBUILD_MIRROR")
	}
	if value != "" {
		return debian.ParseMirror(value)
	}
	return debian.HostMirrors(os.DirFS("/etc/apt"))
}

// relocked tells what a new lock changes.
func (s *session) relocked(re *recipe.Relock) []string {
	if re == nil {
		return nil
	}
	lines := []string{fmt.Sprintf("the packages were locked anew: %s", re.Why)}
	for i, c := range re.Changes {
		if i == 40 {
			lines = append(lines, fmt.Sprintf("  and %d more", len(re.Changes)-i))
			break
		}
		lines = append(lines, "  "+c.String())
	}
	return lines
}
