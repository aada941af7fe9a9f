package agent

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// The rules are one table of our own, replaced in one transaction: other programs have tables too.
const tableStart = "destroy table inet shelf\ntable inet shelf {\n"

// proxyRules keep renewals and releases from being forwarded: the relay takes them, because some
// servers answer to a board's own hardware address, which no access point delivers to a station.
func proxyRules(s Settings, up, shelf nic) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	b.WriteString(tableStart)
	if s.Names.Enabled && s.Names.Uplink {
		line("  chain input {\n    type filter hook input priority 0; policy accept;")
		nameRules(line, up, "iifname "+strconv.Quote(up.Name)+" ")
		line("    iifname %q meta l4proto { tcp, udp } th dport 53 drop\n  }", up.Name)
	}
	line("  chain forward {\n    type filter hook forward priority 0; policy accept;")
	line("    iifname %q udp sport 68 udp dport 67 drop\n  }\n}", shelf.Name)
	return b.String()
}

// nameRules let questions for names in from the uplink's own network, if it is a private one. A
// name server that answers the Internet is used to flood others.
func nameRules(line func(format string, args ...any), up nic, match string) {
	if up.Address.IsValid() && up.Address.Addr().IsPrivate() {
		line("    %sip saddr %s meta l4proto { tcp, udp } th dport 53 accept", match, up.Address.Masked())
		line("    %sip6 saddr fe80::/10 meta l4proto { tcp, udp } th dport 53 accept", match)
	}
}

// natRules hide the shelf, and its network of IPv6 if there is one, behind the uplink's address.
// From the uplink come answers, what is forwarded, ping, and ssh from a private network's own
// subnet or where it is asked for.
func natRules(s Settings, up, shelf nic, ula netip.Prefix) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	b.WriteString(tableStart)
	line("  chain input {\n    type filter hook input priority 0; policy accept;")
	line("    iifname != %q accept", up.Name)
	line("    ct state established,related accept")
	line("    ct state invalid drop")
	line("    ip protocol icmp accept\n    meta l4proto ipv6-icmp accept")
	line("    udp dport { 68, 546 } accept")
	switch private := up.Address.IsValid() && up.Address.Addr().IsPrivate(); {
	case s.NAT.SSH:
		line("    tcp dport 22 accept")
	case private:
		line("    ip saddr %s tcp dport 22 accept", up.Address.Masked())
		line("    ip6 saddr fe80::/10 tcp dport 22 accept")
	}
	if s.Names.Enabled && s.Names.Uplink {
		nameRules(line, up, "")
	}
	line("    drop\n  }")
	line("  chain forward {\n    type filter hook forward priority 0; policy drop;")
	line("    ct state established,related accept\n    ct state invalid drop")
	line("    iifname %q oifname %q accept", shelf.Name, up.Name)
	line("    iifname %q oifname %q accept", shelf.Name, shelf.Name)
	line("    ct status dnat accept\n  }")
	line("  chain prerouting {\n    type nat hook prerouting priority -100; policy accept;")
	for _, f := range s.NAT.Forwards {
		// From the shelf too, except for the router's address there: its ports are its own.
		line("    ip daddr != %s fib daddr type local %s dport %d dnat ip to %s", s.NAT.Network.Addr(), f.Protocol, f.Port, f.To)
	}
	line("  }")
	line("  chain postrouting {\n    type nat hook postrouting priority 100; policy accept;")
	line("    oifname %q ip saddr %s masquerade", up.Name, s.NAT.Network.Masked())
	if ula.IsValid() {
		line("    oifname %q ip6 saddr %s masquerade", up.Name, ula)
	}
	if s.NAT.Network.IsValid() {
		line("    oifname %q ip saddr %s ct status dnat masquerade", shelf.Name, s.NAT.Network.Masked())
	}
	line("  }\n}")
	return b.String()
}
