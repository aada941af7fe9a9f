package config

import (
	"net"
	"strings"
)

// interfaceName reports whether the kernel takes it as the name of an interface (dev_valid_name).
func interfaceName(s string) bool {
	return s != "" && len(s) <= 15 && s != "." && s != ".." && s != "auto" && !strings.ContainsAny(s, "/: \t\n\v\f\r")
}

// interfaceRef reports whether a port or a parent can be found by it: a name, or a hardware
// address.
func interfaceRef(s string) bool {
	mac, err := net.ParseMAC(s)
	return interfaceName(s) || err == nil && len(mac) == 6
}

// checkDevices looks at VLANs, bridges and bonds: their names, and that no interface is a port
// twice or has an address of its own next to its bridge's.
func (k *checker) checkDevices(n Network) {
	names, ports := map[string]string{}, map[string]string{}
	name := func(s, path string) {
		switch first, twice := names[s]; {
		case !interfaceName(s):
			k.report(Error, path+".name", "write up to 15 letters, for example br0", "%s is not a name for an interface", quote(s))
		case twice:
			k.report(Error, path+".name", "give one of them another name", "%s is the name of %s as well", quote(s), first)
		default:
			names[s] = path
		}
	}
	port := func(list []string, own, path string) {
		if len(list) == 0 {
			k.report(Warning, path, "give its ports", "%s connects nothing", quote(own))
		}
		for i, s := range list {
			here := index(path+".ports", i)
			if first, twice := ports[s]; twice {
				k.report(Error, here, "leave it in one of them", "%s is a port of %s as well", quote(s), first)
			} else if !interfaceRef(s) || s == own {
				k.report(Error, here, "write it as ip link shows it, for example eth0", "%s cannot be a port", quote(s))
			}
			ports[s] = path
		}
	}
	for i, v := range n.VLANs {
		path := index("network.vlans", i)
		name(v.Name, path)
		if v.ID < 1 || v.ID > 4094 {
			k.report(Error, path+".id", "give the number that the switch uses", "a VLAN has a number from 1 to 4094, not %d", v.ID)
		}
		if !interfaceRef(v.Parent) {
			k.report(Error, path+".parent", "name the interface that carries it, for example eth0", "%s is not the name of an interface", quote(v.Parent))
		}
	}
	for i, b := range n.Bridges {
		path := index("network.bridges", i)
		name(b.Name, path)
		port(b.Ports, b.Name, path)
	}
	for i, b := range n.Bonds {
		path := index("network.bonds", i)
		name(b.Name, path)
		port(b.Ports, b.Name, path)
	}
	for i, f := range n.Interfaces {
		if owner := ports[f.Name]; owner != "" && f.MAC == "" {
			k.report(Warning, index("network.interfaces", i), "give the addresses to the interface that it is a port of", "%s is a port of %s and gets no address", quote(f.Name), owner)
		}
	}
}
