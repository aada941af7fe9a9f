package agent

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"imgbuild/init/router/relay"
)

// Files of the name server. BoardsDir is watched by dnsmasq.
const (
	BoardsDir  = RunDir + "/boards"
	boardsFile = BoardsDir + "/boards"
	ResolvFile = RunDir + "/resolv.conf"
)

// Names is what the service has to do with the name server, which is dnsmasq.
type Names struct {
	Enabled bool     `json:"enabled"`
	Uplink  bool     `json:"uplink,omitempty"` // it answers there too
	Ours    []string `json:"ours,omitempty"`   // names that no board gets
	Lists   []string `json:"lists,omitempty"`  // addresses of blocklists
}

// boardHosts are the names that boards gave themselves with their leases, in the form of
// /etc/hosts. Of two boards with one name that with the lower address has it.
func boardHosts(leases []relay.Lease, ours []string) string {
	leases = slices.SortedFunc(slices.Values(leases), func(a, b relay.Lease) int { return cmp.Or(a.IP.Compare(b.IP), slices.Compare(a.MAC[:], b.MAC[:])) })
	var b strings.Builder
	taken := map[string]bool{"localhost": true}
	for _, o := range ours {
		taken[strings.ToLower(o)] = true
	}
	for _, l := range leases {
		name, _, _ := strings.Cut(strings.ToLower(l.Name), ".")
		if name == "" || len(name) > 63 || taken[name] || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || strings.Trim(name, "0123456789") == "" {
			continue
		}
		taken[name] = true
		fmt.Fprintf(&b, "%s %s\n", l.IP, name)
	}
	return b.String()
}

// upstreams are the name servers of a resolv.conf for the name server of this node. Where the modem
// names this node to everybody, that is the node itself, and the gateway is asked instead.
func upstreams(resolv string, own []netip.Addr, gateway netip.Addr) string {
	var b strings.Builder
	for line := range strings.Lines(resolv) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != "nameserver" {
			continue
		}
		a, err := netip.ParseAddr(f[1])
		if err == nil && !a.IsLoopback() && !slices.Contains(own, a) {
			fmt.Fprintf(&b, "nameserver %s\n", a)
		}
	}
	if b.Len() == 0 && gateway.IsValid() {
		fmt.Fprintf(&b, "nameserver %s\n", gateway)
	}
	return b.String()
}
