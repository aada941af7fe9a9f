package config

import "testing"

// The forms of sysctl(8).
func TestSysctlPath(t *testing.T) {
	for name, want := range map[string][2]string{
		"vm.swappiness":                      {"vm/swappiness", ""},
		"vm/swappiness":                      {"vm/swappiness", ""},
		"net.ipv4.conf.eth0.arp_ignore":      {"net/ipv4/conf/eth0/arp_ignore", "eth0"},
		"net.ipv4.conf.eth0/20.arp_ignore":   {"net/ipv4/conf/eth0.20/arp_ignore", "eth0.20"},
		"net/ipv4/conf/eth0.20/arp_ignore":   {"net/ipv4/conf/eth0.20/arp_ignore", "eth0.20"},
		"net/ipv6/neigh/eth0/proxy_delay":    {"net/ipv6/neigh/eth0/proxy_delay", "eth0"},
		"net.ipv4.conf.all.rp_filter":        {"net/ipv4/conf/all/rp_filter", ""},
		"net.ipv6.conf.default.accept_ra":    {"net/ipv6/conf/default/accept_ra", ""},
		"net.ipv4.ip_forward":                {"net/ipv4/ip_forward", ""},
		"net.bridge.bridge-nf-call-iptables": {"net/bridge/bridge-nf-call-iptables", ""},
		"nothing":                            {"nothing", ""},
	} {
		link, ok := SysctlLink(name)
		if got := SysctlPath(name); got != want[0] || link != want[1] || ok != (want[1] != "") {
			t.Errorf("%s: %s of %q, want %q", name, got, link, want)
		}
		if !sysctlName.MatchString(name) && name != "nothing" {
			t.Errorf("%s is called no name of a kernel setting", name)
		}
	}
}
