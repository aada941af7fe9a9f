// Package lan makes a node known in its local network by mDNS: its name, ssh, and what its role
// offers.
package lan

import (
	"context"
	"time"

	"imgbuild/init/base/report"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/net/mdns"
	"imgbuild/init/net/network"
)

// LAN is what the node announces. Its fields are not changed after New.
type LAN struct {
	Config   func() *config.Config // the newest one
	Host     string
	Net      *network.Manager
	Offers   func() []mdns.Service // of the role
	Reporter report.Reporter
	Save     func() // the report

	responder *mdns.Responder // of New
}

// sshd is offered by every node.
var sshd = mdns.Service{Type: "_ssh._tcp", Port: 22}

// farewell is how long taking back what was announced may take.
const farewell = 2 * time.Second

// New prepares it; nothing is sent before Run.
func New(l LAN) *LAN {
	t := l.Reporter.For("mdns")
	l.responder = &mdns.Responder{Facts: l.facts, Changed: l.Net.Changed, Say: t.Say, Report: func(s mdns.Status) {
		t.Report.Drop(t.Step)
		t.Problem(conflict(s))
		t.Report.Fact("mdns", s.String())
		l.Save()
	}}
	return &l
}

// facts is what is to be announced now.
func (l *LAN) facts() mdns.Facts {
	return Facts(l.Config(), l.Host, append([]mdns.Service{sshd}, l.Offers()...), mdns.Interfaces(l.Net.Status()))
}

// uplink is the interface behind which a router hides its network; empty for none.
func uplink(c *config.Config) string {
	if c.RoleOf("") == "router" && c.Router.Mode == config.RouterNAT {
		return c.Router.Uplink.Interface
	}
	return ""
}

// Facts decides what a node announces and where.
func Facts(c *config.Config, host string, services []mdns.Service, interfaces []mdns.Interface) mdns.Facts {
	if !c.Network.MDNS {
		return mdns.Facts{}
	}
	for i := range interfaces {
		interfaces[i].Uplink = interfaces[i].Is(uplink(c))
	}
	if c.RoleOf("") == "router" && c.Router.Mode == config.RouterProxyARP {
		oneNetwork(interfaces, c.Router.Uplink.Interface, c.Router.Shelf.Interface)
	}
	return mdns.Facts{Host: host, Services: services, Links: mdns.Choose(interfaces)}
}

// oneNetwork has the router be known on the shelf by its address on the uplink: both are one
// network, in which the shelf's card has no address of IPv4 of its own.
func oneNetwork(interfaces []mdns.Interface, uplink, shelf string) {
	for i := range interfaces {
		if !interfaces[i].Is(shelf) || interfaces[i].Is(uplink) {
			continue
		}
		for _, u := range interfaces {
			if !u.Is(uplink) {
				continue
			}
			for _, p := range u.Addresses {
				if p.Addr().Is4() && !p.Addr().IsLinkLocalUnicast() {
					interfaces[i].Addresses = append(interfaces[i].Addresses[:len(interfaces[i].Addresses):len(interfaces[i].Addresses)], p)
				}
			}
		}
	}
}

// conflict reports that another machine has the node's name.
func conflict(s mdns.Status) error {
	if s.Taken == "" {
		return nil
	}
	now := "this node has no name in the network for now"
	if s.Name != "" {
		now = "this node answers to " + s.Name
	}
	return fault.New(fault.Input, "give one of the two another hostname, then reboot it", "the machine %s has the name %s; %s", s.By, s.Taken, now)
}

// Run announces and answers. It does not return before Stop.
func (l *LAN) Run() { l.responder.Run(context.Background()) }

// Kick has it look at the configuration and the role again.
func (l *LAN) Kick() { l.responder.Kick() }

// Stop takes back what was announced.
func (l *LAN) Stop() {
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	l.responder.Stop(ctx)
}

// Status returns how the node is known; nil if it is not to be, or has no network yet.
func (l *LAN) Status() *mdns.Status {
	if l == nil || !l.Config().Network.MDNS {
		return nil
	}
	s := l.responder.Status()
	return &s
}
