// Package service is the router as PID 1 has it: its units, made of the configuration, and its
// part in the health of a node. The work is done by `shelf router run` (package agent), and by
// dnsmasq in mode nat.
package service

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"imgbuild/init/base/cgroup"
	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/checks"
	"imgbuild/init/contract/config"
	"imgbuild/init/router/agent"
	"imgbuild/init/status/health"
	"imgbuild/init/supervise"
)

// Names of the units; config.RouterServices has them too.
const (
	Name    = "router"
	DNSMasq = "dnsmasq"
)

// Where dnsmasq's files are: made again at each start, and those that last.
const (
	dnsmasqFile = agent.RunDir + "/dnsmasq.conf"
	leaseFile   = agent.StateDir + "/dnsmasq.leases"
)

// Router is the router of a node. Its fields are not changed after it was made.
type Router struct {
	Config func() *config.Config // the newest one
	Host   string
	Load   func(module string, params ...string) error // loads a kernel module
}

// modules are what the rules need; the kernel asks for the rest by itself.
var modules = []string{"nf_tables", "nf_conntrack", "nft_ct", "nft_chain_nat", "nft_masq", "nft_nat", "nft_fib_inet"}

// SettingsOf returns the settings of the agent.
func SettingsOf(r config.Router) agent.Settings {
	s := agent.Settings{Mode: r.Mode, Uplink: r.Uplink.Interface, Shelf: r.Shelf.Interface}
	if r.Mode == config.RouterNAT {
		s.NAT = agent.Nat{Network: r.Network(), SSH: r.Uplink.SSH}
		for _, f := range r.Forwards {
			if to := f.Target(); to.IsValid() && to.Addr().Is4() && to.Port() != 0 && f.Port > 0 && f.Port < 1<<16 && r.Network().Masked().Contains(to.Addr()) {
				s.NAT.Forwards = append(s.NAT.Forwards, agent.Forward{Protocol: f.Protocol, Port: uint16(f.Port), To: to})
			}
		}
	}
	return s
}

// Units are the services that the configuration asks for.
func (r *Router) Units() []supervise.Unit {
	s := SettingsOf(r.Config().Router)
	data, _ := json.Marshal(s)
	common := supervise.Unit{OOMScore: -800, StopOrder: 30, Restart: supervise.Always, Limits: cgroup.Limits{CPUWeight: 200}}
	list := []supervise.Unit{common}
	u := &list[0]
	u.Name, u.Command = Name, []string{"/usr/bin/shelf", "router", "run"}
	u.Env = []string{"SETTINGS=" + sum(data), "GOGC=50"} // a change of them is a change of the unit
	u.Ready = supervise.Ready{Kind: supervise.File, Path: agent.StatusFile, Timeout: time.Minute}
	u.Prepare = func(context.Context, supervise.Say) error {
		for _, name := range modules {
			if err := r.Load(name); err != nil {
				return err
			}
		}
		if err := os.MkdirAll(agent.RunDir, 0o755); err != nil {
			return err
		}
		return s.Write(agent.SettingsFile)
	}
	if s.Mode != agent.NAT || !s.NAT.Network.IsValid() {
		return list
	}
	rc := r.Config().Router
	text := DHCPConfig(rc, rc.Shelf.Interface, r.Host)
	d := common
	d.Name, d.Command = DNSMasq, []string{"/usr/sbin/dnsmasq", "-k", "-C", dnsmasqFile}
	d.Env = []string{"CONFIG=" + sum([]byte(text))}
	d.Prepare = func(context.Context, supervise.Say) error {
		name, ok := nameOf(rc.Shelf.Interface)
		if !ok {
			return &supervise.Waiting{What: "there is no interface " + rc.Shelf.Interface + " for the shelf (router.shelf.interface)"}
		}
		for _, dir := range []string{agent.RunDir, agent.StateDir} {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
		}
		return atomicfile.Write(dnsmasqFile, []byte(DHCPConfig(rc, name, r.Host)), 0o644)
	}
	return append(list, d)
}

func sum(data []byte) string {
	h := sha256.Sum256(data)
	return hex.EncodeToString(h[:8])
}

// nameOf returns the name of an interface that is named or given by its hardware address.
func nameOf(ref string) (string, bool) {
	mac, err := net.ParseMAC(ref)
	all, _ := net.Interfaces()
	for _, i := range all {
		if i.Name == ref || err == nil && i.HardwareAddr.String() == mac.String() {
			return i.Name, true
		}
	}
	return "", false
}

// DHCPConfig is dnsmasq's configuration in mode nat: addresses and names for the shelf. shelf is
// the name of its card, host the node's own.
func DHCPConfig(r config.Router, shelf, host string) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	n := r.Network()
	line("interface=%s\nexcept-interface=lo\nbind-dynamic", shelf)
	line("user=dnsmasq\ngroup=nogroup\npid-file=\nlog-facility=-")
	line("no-hosts\nresolv-file=/etc/resolv.conf")
	line("domain=shelf\nlocal=/shelf/\nexpand-hosts\ndomain-needed\nbogus-priv")
	if host != "" && !strings.ContainsAny(host, ", \n") {
		line("host-record=%s.shelf,%s,%s", host, host, n.Addr())
	}
	if first, last, ok := r.Pool(); ok {
		mask := net.CIDRMask(n.Bits(), 32)
		line("dhcp-authoritative\ndhcp-leasefile=%s\ndhcp-range=%s,%s,%s,12h", leaseFile, first, last, net.IP(mask))
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
	return b.String()
}

// Status is what the agent reported last.
func (r *Router) Status() (agent.Status, error) { return agent.Load(agent.StatusFile) }

// Probes are the router's part in the health of a node.
func (r *Router) Probes() []health.Probe {
	return []health.Probe{{Check: checks.Uplink, Ask: func(context.Context) error {
		s, err := r.Status()
		if err != nil {
			return err
		}
		return s.Fault(time.Now())
	}}}
}
