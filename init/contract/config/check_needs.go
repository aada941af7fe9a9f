package config

import (
	"slices"
	"strings"
)

// ownServices are the services of the system that others may need; whether k3s is among them
// depends on the role.
var ownServices = []string{"sshd", "k3s", "node-exporter"}

// StorageServices are the services of a storage node.
var StorageServices = []string{"rpcbind", "statd", "nfsdcld", "mountd", "nfsd", "smbd", "vsftpd"}

// RouterServices are the services of a router.
var RouterServices = []string{"router", "dnsmasq", "blocklists"}

// roleServices are those of a role besides the ones that every node may have.
func roleServices(role string) []string {
	switch role {
	case "storage":
		return StorageServices
	case "router":
		return RouterServices
	}
	return nil
}

// Taken reports whether a name is the system's own: of a service that it has or may get, or of a
// log in /var/log/shelf. A service of the user's would take its place or write into its log.
func Taken(name string) bool {
	return contains(ownServices, name) || contains([]string{"wpa_supplicant", "commands", "crash", "upgrade-turns"}, name) || strings.HasPrefix(name, "getty-")
}

// checkNeeds looks at what a service needs: what does not exist, is switched off or needs the
// service in turn would keep it from ever starting. A circle is reported once, at the first of its
// names.
func (k *checker) checkNeeds(name string) {
	here := "services." + name + ".needs"
	own := roleServices(k.role)
	if Taken(name) || contains(own, name) {
		k.report(Error, "services."+name, "give it another name", "the system has a service or a log of that name")
	}
	s := k.c.Services[name]
	for i, need := range s.Needs {
		other, ok := k.c.Services[need]
		switch {
		case need == name:
			k.report(Error, index(here, i), "remove it", "the service needs itself")
		case contains(ownServices, need), contains(own, need):
		case !ok:
			k.report(Error, index(here, i), "remove it, or add that service", "there is no service %s", quote(need))
		case !other.Enabled && s.Enabled:
			k.report(Error, index(here, i), "remove it, or switch that service on", "the service %s is switched off", quote(need))
		}
	}
	if circle := k.circle(name, map[string]bool{}); len(circle) > 0 && slices.Min(circle) == name {
		k.report(Error, here, "take one of them out of needs", "services need each other in a circle: %s", strings.Join(append(circle, name), " -> "))
	}
}

// circle returns a way over needs from a service back to itself, of more than one service; empty if
// there is none.
func (k *checker) circle(name string, seen map[string]bool) []string {
	var path []string
	var visit func(at string) bool
	visit = func(at string) bool {
		seen[at] = true
		path = append(path, at)
		for _, need := range k.c.Services[at].Needs {
			if need == name && len(path) > 1 || !seen[need] && visit(need) {
				return true
			}
		}
		path = path[:len(path)-1]
		return false
	}
	visit(name)
	return path
}
