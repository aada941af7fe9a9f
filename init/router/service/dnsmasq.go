package service

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"

	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/config"
	"imgbuild/init/router/agent"
	"imgbuild/init/router/blocklist"
)

// Cards are the names of the cards of both sides, and whether the kernel has IPv6.
type Cards struct {
	Shelf, Uplink string
	IPv6          bool
}

// domain is that of the shelf.
const domain = "shelf"

// namesOf is what the agent has to know of the name server.
func namesOf(r config.Router, host string) agent.Names {
	d := r.DNS
	if !d.Enabled {
		return agent.Names{}
	}
	n := agent.Names{Enabled: true, Uplink: d.Uplink, Ours: []string{}}
	for _, name := range []string{host, host + "." + domain} {
		if host != "" {
			n.Ours = append(n.Ours, strings.ToLower(name))
		}
	}
	for _, h := range d.Hosts {
		if h.IsName() {
			n.Ours = append(n.Ours, strings.ToLower(h.Name))
		}
	}
	for _, text := range d.Blocklists {
		if config.IsBlocklist(text) {
			n.Lists = append(n.Lists, text)
		}
	}
	return n
}

// hosts are the names of the configuration in the form of /etc/hosts.
func hosts(r config.Router) string {
	var b strings.Builder
	for _, h := range r.DNS.Hosts {
		if a := net.ParseIP(h.Address); r.DNS.Enabled && h.IsName() && a != nil {
			fmt.Fprintf(&b, "%s %s\n", a, h.Name)
		}
	}
	return b.String()
}

// DNSMasqConfig is dnsmasq's configuration on a node of this name. In mode nat it gives addresses
// and names to the shelf; with router.dns it also has the names of the configuration and blocks
// those of lists. In mode proxy-arp it gives names alone: the leases are the modem's.
func DNSMasqConfig(r config.Router, cards Cards, host string) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	named := host != "" && !strings.ContainsAny(host, ", \n")
	line("interface=%s", cards.Shelf)
	if r.DNS.Enabled && r.DNS.Uplink {
		line("interface=%s", cards.Uplink)
	}
	line("user=dnsmasq\ngroup=nogroup\npid-file=%s\nlog-facility=-", pidFile)
	line("no-hosts\ndomain=%s\nlocal=/%s/\nexpand-hosts", domain, domain)
	resolv := "/etc/resolv.conf"
	if r.Mode == config.RouterNAT {
		line("except-interface=lo\nbind-dynamic\ndomain-needed\nbogus-priv")
		n := r.Network()
		if named {
			line("host-record=%s.%s,%s,%s", host, domain, host, n.Addr())
		}
		dhcp(line, r)
		if cards.IPv6 { // else dnsmasq would end: it cannot create an ICMPv6 socket
			// The network of the address that the agent sets on the card.
			line("enable-ra\ndhcp-range=::,constructor:%s,ra-only", cards.Shelf)
		}
	} else {
		// The shelf's card has no address: dnsmasq listens on all, and looks by which card a
		// question came. The node itself may ask, where the modem names it as the name server.
		resolv = agent.ResolvFile
		line("interface=lo\nhostsdir=%s", agent.BoardsDir)
		if named {
			line("interface-name=%s.%s,%s\ninterface-name=%s,%s", host, domain, cards.Uplink, host, cards.Uplink)
		}
	}
	if !r.DNS.Enabled || len(r.DNS.Servers) == 0 {
		line("resolv-file=%s", resolv)
	} else {
		line("no-resolv")
		for _, text := range r.DNS.Servers {
			if net.ParseIP(text) != nil {
				line("server=%s", text)
			}
		}
	}
	if r.DNS.Enabled {
		line("cache-size=1000\naddn-hosts=%s", hostsFile)
		if len(namesOf(r, host).Lists) > 0 {
			line("servers-file=%s", blocklist.File(blocklist.Dir))
		}
	}
	return b.String()
}

// dhcp is the part of mode nat that gives addresses.
func dhcp(line func(format string, args ...any), r config.Router) {
	if first, last, ok := r.Pool(); ok {
		mask := net.CIDRMask(r.Network().Bits(), 32)
		line("dhcp-authoritative\ndhcp-leasefile=%s\ndhcp-range=%s,%s,%s,12h", leaseFile, first, last, net.IP(mask))
		line("dhcp-option=option:ntp-server,0.0.0.0") // the node itself
	}
	for _, l := range r.Leases {
		if l.MAC == "" {
			continue
		}
		words := []string{l.MAC}
		for _, w := range []string{l.Name, l.Address} {
			if w != "" && !strings.ContainsAny(w, ", \n") {
				words = append(words, w)
			}
		}
		if len(words) > 1 {
			line("dhcp-host=%s", strings.Join(words, ","))
		}
	}
}

// prepareDNSMasq writes what dnsmasq reads. Files that others keep have to be there.
func prepareDNSMasq(conf, hosts string) error {
	for _, dir := range []string{agent.RunDir, agent.BoardsDir, agent.StateDir, blocklist.Dir} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	for _, file := range []string{blocklist.File(blocklist.Dir), agent.ResolvFile} {
		f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return err
		}
		f.Close()
	}
	return errors.Join(atomicfile.Write(hostsFile, []byte(hosts), 0o644), atomicfile.Write(dnsmasqFile, []byte(conf), 0o644))
}
