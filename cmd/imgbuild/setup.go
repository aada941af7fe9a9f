package main

import (
	"fmt"
	"os"
	"strings"

	"imgbuild/boards"
	"imgbuild/builder/blockcache"
	"imgbuild/builder/debian"
	"imgbuild/builder/image"
	"imgbuild/builder/recipe"
	"imgbuild/cmd/line"
	"imgbuild/images"
)

// The keys that every verb with an archive, a board or a role takes.
var (
	boardKey   = line.Key{Name: "board", Value: "NAME", Words: boards.Names(), Doc: "The machine; `imgbuild boards` lists them."}
	roleKey    = line.Key{Name: "role", Value: "NAME", Words: images.Names(), Doc: "What it is for; `imgbuild roles` lists them."}
	k3sKey     = line.Key{Name: "k3s", Value: "auto|VERSION|FILE|firstboot|none", Doc: "Where k3s comes from. auto embeds the pinned version if it can be had."}
	lockKey    = line.Key{Name: "lock", Value: "auto|FILE", Doc: "The exact packages. auto: ./imgbuild.lock or the one inside, made anew where the archive lost a package."}
	mirrorKey  = line.Key{Name: "mirror", Value: "URL[,SECURITY-URL]", Doc: "Debian archive; else IMGBUILD_MIRROR, else the host's own apt sources."}
	cacheKey   = line.Key{Name: "cache", Value: "DIR", Doc: "Downloads and compressed blocks; default ~/.cache/imgbuild. Builds keep it below 8 GiB."}
	withoutKey = line.Key{Name: "without", Value: "SUITE,SUITE", Doc: "Suites to leave out of a new lock, where an archive serves them broken: trixie-security loses you its fixes."}
	extraKey   = line.Key{Name: "packages", Value: "A,B", Doc: "More Debian packages in the root; locked for this build."}
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
func open(a *line.Args) (*session, error) {
	r, err := recipe.New(a.Values["board"], a.Values["role"])
	if err != nil {
		return nil, err
	}
	for _, name := range strings.Split(a.Values["packages"], ",") {
		if name = strings.TrimSpace(name); name != "" {
			r.Extra = append(r.Extra, name)
		}
	}
	for _, name := range strings.Split(a.Values["without"], ",") {
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
	if s.cache, err = blockcache.Open(a.Values["cache"]); err != nil {
		return nil, err
	}
	mirrors, err := archive(a.Values["mirror"])
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
