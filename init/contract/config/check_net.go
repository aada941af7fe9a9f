package config

import (
	"net/netip"
	"slices"
)

var (
	hostName = pattern{text: `^[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_.])?$`}
	country  = pattern{text: `^[A-Z]{2}$`}
	hexKey   = pattern{text: `^[0-9A-Fa-f]{64}$`}
)

func (k *checker) checkNetwork() {
	c := k.c
	for i, s := range c.K3OS.DNSNameservers {
		if _, err := netip.ParseAddr(s); err != nil {
			k.report(Error, index("k3os.dns_nameservers", i), "write the address, for example 9.9.9.9", "%s is not an IP address", quote(s))
		}
	}
	for _, path := range []string{"k3os.ntp_servers", "time.servers"} {
		servers := c.K3OS.NTPServers
		if path == "time.servers" {
			servers = c.Time.Servers
		}
		for i, s := range servers {
			if _, err := netip.ParseAddr(s); err != nil && !hostName.MatchString(s) {
				k.report(Error, index(path, i), "write a name such as pool.ntp.org, or an address", "%s is not the name of a server", quote(s))
			}
		}
	}
	seen := map[string]int{}
	for i, n := range c.Network.Interfaces {
		id := n.MAC
		if id == "" {
			id = n.Name
		}
		if first, twice := seen[id]; twice {
			k.report(Error, index("network.interfaces", i), "put both into one item", "%s is the interface of item %d as well", quote(id), first)
		}
		seen[id] = i
		k.checkInterface(n, index("network.interfaces", i))
	}
	k.checkDevices(c.Network)
	for i, w := range c.Network.WiFi {
		k.checkWiFi(w, index("network.wifi", i))
	}
	for i, w := range c.K3OS.WiFi {
		k.checkWiFi(w, index("k3os.wifi", i))
	}
	wifi := len(c.Network.WiFi) + len(c.K3OS.WiFi)
	if contains(k.f.Lacks, "wifi") && wifi > 0 {
		path := "network.wifi"
		if len(c.Network.WiFi) == 0 {
			path = "k3os.wifi"
		}
		k.report(Warning, path, "plug in a USB adapter for Wi-Fi, or use the cable", "%s has no Wi-Fi of its own", k.f.Board)
	} else if contains(k.f.Lacks, "ethernet") && wifi == 0 {
		k.report(Warning, "network.wifi", "name a network under network.wifi, or plug in a USB adapter", "%s has no socket for a network cable, and no wireless network is named", k.f.Board)
	}
	if c.Network.Country == "" && wifi > 0 {
		k.report(Warning, "network.country", "set network.country to two letters, for example DE", "without a country Wi-Fi keeps to few channels, and some boards do not send at all")
	}
}

func (k *checker) checkInterface(n Interface, path string) {
	if n.Name != "auto" && !interfaceName(n.Name) {
		k.report(Error, path+".name", "write it as ip link shows it, for example eth0", "%s is not the name of an interface", quote(n.Name))
	}
	if n.MTU != 0 && (n.MTU < 576 || n.MTU > 65535) {
		k.report(Error, path+".mtu", "leave it out unless you know better", "an MTU is from 576 to 65535, not %d", n.MTU)
	}
	carries := slices.ContainsFunc(k.c.Network.VLANs, func(v VLAN) bool { return v.Parent == n.Name || n.MAC != "" && v.Parent == n.MAC })
	if !n.DHCP && len(n.Addresses) == 0 && n.DHCP6 != "true" && k.c.where[path+".dhcp"] != (place{}) && !carries {
		k.report(Warning, path, "give addresses, or dhcp: true", "the interface gets no address at all")
	}
	onLink := func(t string) bool {
		a, err := netip.ParseAddr(t)
		if err != nil || a.IsLinkLocalUnicast() || len(n.Addresses) == 0 {
			return true
		}
		for _, s := range n.Addresses {
			if p, err := netip.ParsePrefix(s); err == nil && (p.Contains(a) || p.Addr().Is4() != a.Is4()) {
				return true
			}
		}
		return false
	}
	for _, g := range []struct{ key, address string }{{".gateway", n.Gateway}, {".gateway6", n.Gateway6}} {
		if g.address != "" && !onLink(g.address) {
			k.report(Warning, path+g.key, "check both addresses", "the gateway %s is in none of the interface's networks", g.address)
		}
	}
	if n.Gateway6 != "" && sameFamily(n.Gateway, n.Gateway6) {
		k.report(Warning, path+".gateway6", "leave one of them", "%s and %s are two gateways of one family; the kernel uses the first", n.Gateway, n.Gateway6)
	}
	if n.Gateway == "" && n.Gateway6 == "" && !n.DHCP && len(n.Addresses) > 0 && len(n.Routes) == 0 && len(k.c.Network.Interfaces) == 1 {
		// Other cards ask DHCP, and one of them may have the way out: the node knows, this file
		// does not.
		k.report(Note, path, "set gateway if there is one", "this interface has no way out of its own network")
	}
	for i, r := range n.Routes {
		here := index(path+".routes", i)
		if r.To == "" {
			k.report(Error, here, "set to, for example 10.8.0.0/16", "the route leads nowhere")
		} else if r.To == "default" && r.Via == "" {
			k.report(Error, here, "set via, or write 0.0.0.0/0 or ::/0", "a default route without a gateway needs its address family; it is left out")
		}
		if r.Via != "" && !onLink(r.Via) {
			k.report(Warning, here+".via", "check both addresses", "the next hop %s is in none of the interface's networks", r.Via)
		}
	}
}

// sameFamily reports whether two addresses are both IPv4 or both IPv6.
func sameFamily(a, b string) bool {
	x, errA := netip.ParseAddr(a)
	y, errB := netip.ParseAddr(b)
	return errA == nil && errB == nil && x.Is4() == y.Is4()
}

// checkWiFi reports a network that cannot be joined as it is written.
func (k *checker) checkWiFi(w WiFi, path string) {
	switch why := w.Usable(); {
	case why == "" || w.refused != "": // the decoder, or Merge, has reported the latter at its place
	case w.Name == "" || len(w.Name) > 32:
		k.report(Error, path+".name", "write the name of the network as other devices show it", "the name of a network has 1 to 32 bytes, this has %d; the network is left out", len(w.Name))
	default:
		k.report(Error, path+".passphrase", "write the passphrase of the network", "a passphrase has 8 to 63 characters, this has %d; the network is left out", len(w.Passphrase))
	}
}
