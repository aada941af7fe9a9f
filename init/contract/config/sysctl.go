package config

import "strings"

// SysctlPath returns the path below /proc/sys of a kernel setting, as sysctl(8) reads its name: the
// first separator decides. After a slash the name is a path; after a dot, dots separate and a slash
// means a dot in a name: net.ipv4.conf.eth0/20.rp_filter is of the interface eth0.20.
func SysctlPath(name string) string {
	if i := strings.IndexAny(name, "./"); i < 0 || name[i] == '/' {
		return name
	}
	return strings.Map(func(r rune) rune {
		switch r {
		case '.':
			return '/'
		case '/':
			return '.'
		}
		return r
	}, name)
}

// SysctlLink returns the interface that a kernel setting is of; ok is false for one that is of
// none, or of all.
func SysctlLink(name string) (link string, ok bool) {
	p := strings.Split(SysctlPath(name), "/")
	if len(p) < 5 || p[0] != "net" || p[1] != "ipv4" && p[1] != "ipv6" && p[1] != "mpls" || p[2] != "conf" && p[2] != "neigh" || p[3] == "all" || p[3] == "default" {
		return "", false
	}
	return p[3], true
}
