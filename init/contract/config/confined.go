package config

import (
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Confined is the part of a service that has nothing of the node but what is declared.
type Confined struct {
	Read      []string          `yaml:"read,omitempty"`  // paths that it sees
	Write     []string          `yaml:"write,omitempty"` // and may write
	WireGuard string            `yaml:"wireguard,omitempty"`
	Publish   map[string]string `yaml:"publish,omitempty"` // port: network that may connect

	on bool // set by Merge: the section is there, however empty
}

// Is reports whether the service is to be confined.
func (c Confined) Is() bool {
	return c.on || len(c.Read)+len(c.Write)+len(c.Publish) > 0 || c.WireGuard != ""
}

// Published is a port that others may connect to.
type Published struct {
	Port uint16
	From netip.Prefix
}

// Ports reads the published ports, by number; bad is the first that cannot be read.
func (c Confined) Ports() (list []Published, bad string) {
	for _, port := range sortedNames(c.Publish) {
		n, err := strconv.ParseUint(port, 10, 16)
		from, perr := netip.ParsePrefix(c.Publish[port])
		if err != nil || n == 0 || perr != nil {
			return nil, port
		}
		list = append(list, Published{uint16(n), from.Masked()})
	}
	slices.SortFunc(list, func(a, b Published) int { return int(a.Port) - int(b.Port) })
	return list, ""
}

// insideDirs are the directories that are made for a confined service; what is declared cannot be
// one of them.
var insideDirs = []string{"/", "/usr", "/proc", "/dev", "/etc", "/tmp", "/run", "/bin", "/sbin", "/lib", "/lib64", "/sys"}

// InsidePath returns why a path cannot be declared for a confined service; empty if it can.
func InsidePath(p string) string {
	switch {
	case !path.IsAbs(p) || path.Clean(p) != p || strings.Contains(p, "\x00"):
		return "is not a plain absolute path"
	case slices.Contains(insideDirs, p):
		return "is made for the service and cannot be declared"
	case strings.HasPrefix(p, "/proc/") || strings.HasPrefix(p, "/sys/") || strings.HasPrefix(p, "/dev/"):
		return "belongs to the kernel"
	}
	return ""
}

// checkConfined reports what would keep a confined service from starting.
func (k *checker) checkConfined(s Service, here string) {
	if !s.Confined.Is() {
		return
	}
	if s.User == "" || s.User == "root" {
		k.report(Error, here+".user", "name one of storage.users, or another user without rights", "a confined service cannot run as root")
	}
	for _, list := range []struct {
		key   string
		paths []string
	}{{"read", s.Confined.Read}, {"write", s.Confined.Write}} {
		for _, p := range list.paths {
			if why := InsidePath(p); why != "" {
				k.report(Error, here+".confined."+list.key, "name a directory or a file of the node, such as /srv/data/films", "%s %s", quote(p), why)
			}
		}
	}
	if w := s.Confined.WireGuard; w != "" && !path.IsAbs(w) {
		k.report(Error, here+".confined.wireguard", "begin it with /", "%s is not an absolute path", quote(w))
	}
	if _, bad := s.Confined.Ports(); bad != "" {
		k.report(Error, here+".confined.publish", "write it like {8080: 192.168.1.0/24}", "%s: %s is not a port and a network", quote(bad), quote(s.Confined.Publish[bad]))
	}
	if s.Ready.Notify {
		k.report(Error, here+".ready.notify", "use tcp with a published port, file or command", "a confined service does not reach the init program; it would never be ready")
	}
}
