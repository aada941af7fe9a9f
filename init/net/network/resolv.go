package network

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
)

// The limits of glibc for resolv.conf (resolv.conf(5)); the kubelet complains about more, and
// hands the file to pods.
const (
	maxNameservers = 3
	maxSearch      = 6
	maxSearchBytes = 256
)

// resolvConf writes a resolv.conf with these servers and domains, in this order, each once.
func resolvConf(servers []netip.Addr, search []string) []byte {
	var b bytes.Buffer
	b.WriteString("# written by shelf; settings: network.dns, network.search, k3os.dns_nameservers\n")
	var seen []netip.Addr
	for _, s := range servers {
		if s.IsValid() && !s.IsUnspecified() && !slices.Contains(seen, s) && len(seen) < maxNameservers {
			seen = append(seen, s)
			fmt.Fprintf(&b, "nameserver %s\n", s)
		}
	}
	line := 0
	for i, d := range domains(search...) {
		if line += len(d) + 1; i >= maxSearch || line > maxSearchBytes {
			break
		}
		if i == 0 {
			b.WriteString("search")
		}
		b.WriteString(" " + d)
	}
	if line > 0 {
		b.WriteString("\n")
	}
	return b.Bytes()
}
