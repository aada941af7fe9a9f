// Package service is the router as PID 1 has it: its units, made of the configuration, and its
// part in the health of a node. The work is done by `shelf router run` (package agent), and by
// dnsmasq in mode nat.
package service

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net"
	"os"
	"time"

	"imgbuild/init/base/cgroup"
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
	Lists   = agent.BlocklistUnit
)

// Where dnsmasq's files are: made again at each start, and those that last.
const (
	dnsmasqFile = agent.RunDir + "/dnsmasq.conf"
	hostsFile   = agent.RunDir + "/hosts"
	pidFile     = agent.RunDir + "/dnsmasq.pid"
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

// SettingsOf returns the settings of the agent on a node of this name.
func SettingsOf(r config.Router, host string) agent.Settings {
	s := agent.Settings{Mode: r.Mode, Uplink: r.Uplink.Interface, Shelf: r.Shelf.Interface, Names: namesOf(r, host)}
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
	rc := r.Config().Router
	s := SettingsOf(rc, r.Host)
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
	nat := s.Mode == agent.NAT && s.NAT.Network.IsValid()
	if !nat && !(s.Mode == agent.ProxyARP && s.Names.Enabled) {
		return list
	}
	d := common
	d.Name, d.Command = DNSMasq, []string{"/usr/sbin/dnsmasq", "-k", "-C", dnsmasqFile}
	d.Env = []string{"CONFIG=" + sum([]byte(DNSMasqConfig(rc, Cards{rc.Shelf.Interface, rc.Uplink.Interface, agent.HasIPv6()}, r.Host)+hosts(rc)))}
	d.Prepare = func(context.Context, supervise.Say) error {
		cards := Cards{IPv6: agent.HasIPv6()}
		for _, side := range []struct {
			name     *string
			ref, key string
		}{{&cards.Shelf, rc.Shelf.Interface, "shelf"}, {&cards.Uplink, rc.Uplink.Interface, "uplink"}} {
			var ok bool
			if *side.name, ok = nameOf(side.ref); !ok {
				return &supervise.Waiting{What: "there is no interface " + side.ref + " for the " + side.key + " (router." + side.key + ".interface)"}
			}
		}
		return prepareDNSMasq(DNSMasqConfig(rc, cards, r.Host), hosts(rc))
	}
	list = append(list, d)
	if len(s.Names.Lists) > 0 {
		list = append(list, r.listUnit(s))
	}
	return list
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
