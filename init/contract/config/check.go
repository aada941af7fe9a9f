package config

import (
	"sort"
	"strings"
)

// Facts is what the configuration is checked against. Zero fields are not known.
type Facts struct {
	Role   string   // what the image was built for
	Roles  []string // the roles its slot can run; empty means any
	Board  string
	Memory int64    // bytes
	Least  int64    // bytes: of the board with the least memory of its kind, where Memory is not known
	Lacks  []string // network hardware that the board does not have: "wifi", "ethernet"
	Token  string   // of a server that has data: the token that they were made with; a secret
}

// RoleOf returns the role of a node: shelf.role, else the one its image was built for, else what
// k3OS would have made of it: the first word of k3s_args, and with a server_url a worker.
func (c *Config) RoleOf(built string) string {
	switch {
	case c.Shelf.Role != "":
		return c.Shelf.Role
	case built != "":
		return built
	}
	if len(c.K3OS.K3sArgs) > 0 {
		switch c.K3OS.K3sArgs[0] {
		case "server":
			return "server"
		case "agent":
			return "worker"
		}
	}
	if c.K3OS.ServerURL != "" {
		return "worker"
	}
	return "server"
}

// Missing returns the keys without which k3s cannot start in a role: a worker's server_url and
// token, the token of a server that joins others.
func (c *Config) Missing(role string) []string {
	joins := c.K3OS.ServerURL != "" || c.givenElsewhere("--server", "-s", "K3S_URL")
	if role != "worker" && !(role == "server" && joins) {
		return nil
	}
	var out []string
	if !joins {
		out = append(out, "k3os.server_url")
	}
	if c.K3OS.Token == "" && !c.givenElsewhere("--token", "-t", "K3S_TOKEN") &&
		!c.givenElsewhere("--token-file", "", "K3S_TOKEN_FILE") {
		out = append(out, "k3os.token")
	}
	return out
}

// givenElsewhere reports whether a k3s flag is in k3s_args or its variable in environment.
func (c *Config) givenElsewhere(flag, short, variable string) bool {
	for _, a := range c.K3OS.K3sArgs {
		if a == flag || short != "" && a == short || strings.HasPrefix(a, flag+"=") {
			return true
		}
	}
	return c.K3OS.Environment[variable] != ""
}

// checker collects what Check finds.
type checker struct {
	list
	c    *Config
	role string
	f    Facts
}

// report adds a problem at the place of key path. A missing key is reported at the closest
// section above it that is in a file, and else without a place.
func (k *checker) report(s Severity, path, fix, format string, args ...any) {
	at, ok := k.c.where[path]
	for up := path; !ok; {
		up = up[:max(0, strings.LastIndexAny(up, ".["))]
		if up == "" {
			break
		}
		if at, ok = k.c.where[up]; k.c.unseen[at.file] {
			at, ok = place{}, false
		}
	}
	k.add(at, s, path, fix, format, args...)
}

// Check looks for what is well written and will not work: values out of range, keys that contradict
// each other, and what the board or the role cannot do. The node and `imgbuild validate` print the
// same list.
func Check(c *Config, f Facts) []Problem {
	k := &checker{c: c, f: f, role: c.RoleOf(f.Role)}
	for known, list := keyNames(), c.Secrets(); len(list) > 0; list = list[1:] { // the same word may be in another place too
		k.doubts = appendWords(k.doubts, list[0], known)
	}
	k.checkRole()
	k.checkLogin()
	k.checkIdentity()
	k.checkHostname()
	k.checkFiles()
	k.checkForeign()
	k.checkCommands()
	k.checkConnman()
	k.checkK3s()
	k.checkKernel()
	k.checkMemory()
	k.checkDataSources()
	k.checkUpgradeKeys()
	k.checkUpgradeAuto()
	k.checkNetwork()
	k.checkServices()
	k.checkStorage()
	k.checkRouter()
	k.checkRest()
	k.checkEffect()
	return k.sorted()
}

// Memory below which a role is refused or doubtful, in bytes (facts: an idle server takes 560 MB,
// k3s' documentation asks 2 GB for a server and 512 MB for an agent; boards report a little less
// than they have).
const (
	serverMemory  = 1200 << 20
	serverAdvised = 1800 << 20
	workerMemory  = 400 << 20
	workerAdvised = 600 << 20
	storageMemory = 350 << 20
	routerMemory  = 180 << 20
	megabyte      = 1 << 20
)

func (k *checker) checkRole() {
	if len(k.f.Roles) > 0 && !contains(k.f.Roles, k.role) {
		k.report(Error, "shelf.role", "build an image for this role", "this image cannot be a %s; it can be %s", k.role, strings.Join(k.f.Roles, " or "))
	}
	m := k.f.Memory
	need, advised := int64(0), int64(0)
	switch k.role {
	case "server":
		need, advised = serverMemory, serverAdvised
	case "worker":
		need, advised = workerMemory, workerAdvised
	case "storage":
		need, advised = storageMemory, storageMemory
	case "router":
		need, advised = routerMemory, routerMemory
	}
	board := "this machine"
	if k.f.Board != "" {
		board = k.f.Board
	}
	switch {
	case m == 0 || m >= advised:
	case m < need:
		k.report(Error, "shelf.role", "choose another role or a board with more memory", "%s has %d MB of memory, too little for a %s", board, m/megabyte, k.role)
	default:
		k.report(Warning, "shelf.role", "expect it to be slow, or choose a board with more memory", "%s has %d MB of memory, little for a %s", board, m/megabyte, k.role)
	}
}

// checkEffect points out keys that have no effect on this role, and those that nothing acts on yet.
func (k *checker) checkEffect() {
	var paths []string
	for path := range k.c.where {
		paths = append(paths, path)
	}
	sort.Strings(paths)
	reported := map[*Key]bool{}
	for _, path := range paths {
		row := lookupKey(path)
		if row == nil || reported[row] {
			continue
		}
		reported[row] = true
		switch {
		case len(row.Roles) > 0 && !contains(row.Roles, k.role) && row.Type != Section:
			k.report(Warning, path, "remove it, or change shelf.role", "it has no effect on a %s", k.role)
		case row.Path == "k3os.install":
			k.report(Note, path, "remove it", "k3OS's installer is gone, imgbuild writes whole images; it has no effect")
		case row.Planned:
			k.report(Note, path, "", "it is read and checked, but nothing acts on it yet")
		}
	}
}

// lookupKey returns the row of a path with indexes, if the path is that of a row and not of an item
// or an entry.
func lookupKey(path string) *Key {
	if strings.HasSuffix(path, "]") {
		return nil
	}
	k := root()
	for _, part := range strings.Split(path, ".") {
		name, _, _ := strings.Cut(part, "[")
		if k.Type != Section && k.Type != Items {
			return nil
		}
		next := k.spelling[fold(name)]
		if next == nil || next.name != name {
			return nil
		}
		k = next
	}
	return k
}

func contains(words []string, w string) bool {
	for _, o := range words {
		if o == w {
			return true
		}
	}
	return false
}
