package config

import (
	"net/netip"
	"net/url"
	"path"
	"strings"
)

// RouterDNS is the section router.dns.
type RouterDNS struct {
	Enabled    bool         `yaml:"enabled,omitempty"`
	Uplink     bool         `yaml:"uplink,omitempty"`
	Servers    []string     `yaml:"servers,omitempty"` // addresses
	Hosts      []RouterHost `yaml:"hosts,omitempty"`
	Blocklists []string     `yaml:"blocklists,omitempty"` // https URLs and absolute paths
}

// RouterHost is an item of router.dns.hosts.
type RouterHost struct {
	Name    string `yaml:"name,omitempty"`
	Address string `yaml:"address,omitempty"`
}

// IsName reports whether a name is one for router.dns.hosts.
func (h RouterHost) IsName() bool {
	if len(h.Name) > 253 || !hostName.MatchString(h.Name) || strings.HasSuffix(h.Name, ".") {
		return false
	}
	for label := range strings.SplitSeq(h.Name, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
	}
	_, err := netip.ParseAddr(h.Name)
	return err != nil
}

// IsBlocklist reports whether a text is a place that a list of names can be read from.
func IsBlocklist(text string) bool {
	if strings.ContainsAny(text, " \t\n") {
		return false
	}
	u, err := url.Parse(text)
	return path.IsAbs(text) && path.Clean(text) == text || err == nil && u.Scheme == "https" && u.Host != ""
}

func (k *checker) checkDNS(r Router) {
	d := r.DNS
	if !d.Enabled {
		for _, key := range []string{"uplink", "servers", "hosts", "blocklists"} {
			if k.c.where["router.dns."+key] != (place{}) {
				k.report(Warning, "router.dns."+key, "set router.dns.enabled to true", "it has no effect without a name server")
			}
		}
	}
	for i, text := range d.Servers {
		if a, err := netip.ParseAddr(text); err == nil && (a.IsLoopback() || a.IsUnspecified() || r.Mode == RouterNAT && a == r.Network().Addr()) {
			k.report(Error, index("router.dns.servers", i), "name another server, or leave the key out", "%s is the router itself", a)
		}
	}
	seen := map[string]int{}
	for i, h := range d.Hosts {
		here := index("router.dns.hosts", i)
		a, err := netip.ParseAddr(h.Address)
		id := strings.ToLower(h.Name) + " " + a.String()
		first, twice := seen[id]
		switch {
		case h.Name == "" || h.Address == "":
			k.report(Error, here, "set name and address", "the name or its address is missing")
		case !h.IsName():
			k.report(Error, here+".name", "use letters, digits, - and dots", "%s is not a name", quote(h.Name))
		case err != nil: // the form is reported elsewhere
		case twice:
			k.report(Error, here, "keep one of them", "it is item %d as well", first)
		default:
			seen[id] = i
		}
	}
	lists := map[string]int{}
	for i, text := range d.Blocklists {
		here := index("router.dns.blocklists", i)
		first, twice := lists[text]
		switch {
		case strings.HasPrefix(text, "http://"):
			k.report(Error, here, "write https://", "others between the node and that server could change the list")
		case !IsBlocklist(text):
			k.report(Error, here, "write an https URL or an absolute path", "%s is neither", quote(text))
		case twice:
			k.report(Error, here, "keep one of them", "it is item %d as well", first)
		default:
			lists[text] = i
		}
	}
}
