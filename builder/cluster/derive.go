package cluster

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"imgbuild/init/contract/config"
)

// derive checks the nodes against each other and fills in what follows from the others. What the
// file has itself is never replaced.
func (r *reader) derive(c *Cluster) {
	r.unique(c)
	for _, n := range c.Nodes {
		text, err := n.tree.yaml()
		if err != nil {
			r.fail(n.at, "nodes."+n.Name, "", "%v", err)
			return
		}
		l, _ := config.Parse(File, text)
		n.c, _ = config.Merge(l)
	}
	for _, n := range c.Nodes {
		r.name(n)
		r.network(n)
		n.hosts(c)
		n.targets(c)
		n.clients(c)
		n.leases(c)
	}
	r.servers(c)
}

// unique reports addresses that two nodes have.
func (r *reader) unique(c *Cluster) {
	addresses, macs := map[netip.Addr]*Node{}, map[string]*Node{}
	for _, n := range c.Nodes {
		if other := addresses[n.Address.Addr()]; other != nil {
			r.fail(n.at, "nodes."+n.Name+".address", "give each node its own", "%s is the address of %s in line %d as well", n.Address.Addr(), other.Name, other.at.line)
		}
		if other := macs[n.MAC]; other != nil {
			r.fail(n.at, "nodes."+n.Name+".mac", "give each node its own", "%s is the hardware address of %s in line %d as well", n.MAC, other.Name, other.at.line)
		}
		if n.Address.IsValid() {
			addresses[n.Address.Addr()] = n
		}
		if n.MAC != "" {
			macs[n.MAC] = n
		}
	}
}

func (r *reader) name(n *Node) {
	if e := n.tree.entry("hostname"); e != nil && e.v.text() != n.Name {
		r.fail(e.v.at, "hostname", "remove it; a node has the name that it has under nodes", "the hostname %q is not the node's name %s", e.v.text(), n.Name)
	}
	rest := slices.DeleteFunc(n.tree.keys, func(e entry) bool { return e.name == "hostname" })
	n.tree.keys = append([]entry{{"hostname", n.at, newText(n.at, n.Name)}}, rest...)
	if e := n.tree.entry("shelf"); e != nil {
		if role := e.v.get("role"); role != nil && role.text() != n.Role {
			r.fail(role.at, "shelf.role", "remove it", "shelf.role is not the node's role %s", n.Role)
		}
	}
}

// network sets the address of the node, on the interface that faces the network.
func (r *reader) network(n *Node) {
	if n.dns != nil && n.tree.get("network", "dns") == nil {
		n.tree.set(n.dns, "network", "dns")
	}
	if !n.Address.IsValid() {
		return
	}
	name := "auto"
	if n.Role == "router" {
		name = n.c.Router.Uplink.Interface
	}
	list := n.tree.get("network", "interfaces")
	if list == nil || list.kind != yaml.SequenceNode {
		list = &value{at: n.at, kind: yaml.SequenceNode}
		n.tree.set(list, "network", "interfaces")
	}
	i := index(list.items, name)
	if i < 0 && len(list.items) == 1 && n.Role != "router" { // there is nothing else it could mean
		i = 0
	}
	if i < 0 {
		list.items = append(list.items, newItem(n.at, "name", name))
		i = len(list.items) - 1
	}
	item := list.items[i]
	if old := item.get("addresses"); old != nil {
		if !slices.Contains(append(old.texts(), old.text()), n.Address.String()) {
			r.fail(old.at, "network.interfaces.addresses", "keep one of them", "the node's address is %s in line %d", n.Address, n.at.line)
		}
	} else {
		item.set(newList(n.at, n.Address.String()), "addresses")
	}
	if n.Gateway.IsValid() && item.get("gateway") == nil {
		item.set(newText(n.at, n.Gateway.String()), "gateway")
	}
}

// texts are those of a list.
func (v *value) texts() (out []string) {
	for _, i := range v.items {
		out = append(out, i.text())
	}
	return out
}

// hosts writes the others into /etc/hosts.
func (n *Node) hosts(c *Cluster) {
	var b strings.Builder
	for _, o := range c.Nodes {
		if o != n && o.Address.IsValid() {
			fmt.Fprintf(&b, "%s %s %s.local\n", o.Address.Addr(), o.Name, o.Name)
		}
	}
	if b.Len() == 0 || slices.ContainsFunc(n.c.WriteFiles, func(f config.File) bool { return f.Path == "/etc/hosts" }) {
		return
	}
	list := n.tree.get("write_files")
	if list == nil || list.kind != yaml.SequenceNode {
		list = &value{at: n.at, kind: yaml.SequenceNode}
		n.tree.set(list, "write_files")
	}
	list.items = append(list.items, newItem(n.at, "path", "/etc/hosts", "content", b.String()))
}

// Job is the scrape job that gets every node as a target, where it names none.
const Job = "shelf"

// targets fills in the targets of a scrape job in the values of an add-on.
func (n *Node) targets(c *Cluster) {
	var list []string
	for _, o := range c.Nodes {
		if o.c.Monitoring.Enabled {
			list = append(list, net.JoinHostPort(o.Host(), "9100"))
		}
	}
	var walk func(v *value)
	walk = func(v *value) {
		if v == nil {
			return
		}
		if v.get("job_name").text() == Job && v.kind == yaml.MappingNode && v.get("static_configs") == nil {
			item := newMap(v.at)
			item.set(newList(v.at, list...), "targets")
			v.set(&value{at: v.at, kind: yaml.SequenceNode, items: []*value{item}}, "static_configs")
		}
		for _, e := range v.keys {
			walk(e.v)
		}
		for _, i := range v.items {
			walk(i)
		}
	}
	walk(n.tree.get("addons"))
}

// clients lets the shelf's networks mount a share by NFS that names none.
func (n *Node) clients(c *Cluster) {
	var networks []string
	for _, p := range c.networks() {
		networks = append(networks, p.String())
	}
	for name, s := range n.c.Storage.Shares {
		share := n.tree.get("storage", "shares", name)
		if slices.Contains(s.Via, "nfs") && len(networks) > 0 && share != nil && share.kind == yaml.MappingNode && share.get("networks") == nil {
			share.set(newList(n.at, networks...), "networks")
		}
	}
}

// leases adds the nodes behind a router with mode nat to the leases of its DHCP server.
func (n *Node) leases(c *Cluster) {
	net := n.c.Router.Network()
	if n.Role != "router" || n.c.Router.Mode != config.RouterNAT || !net.IsValid() {
		return
	}
	list := n.tree.get("router", "leases")
	for _, o := range c.Nodes {
		known := slices.ContainsFunc(n.c.Router.Leases, func(l config.RouterLease) bool {
			return l.MAC == o.MAC || l.Name == o.Name || l.Address == o.Address.Addr().String()
		})
		if o == n || o.MAC == "" || known || !net.Masked().Contains(o.Address.Addr()) {
			continue
		}
		if list == nil || list.kind != yaml.SequenceNode {
			list = &value{at: o.at, kind: yaml.SequenceNode}
			n.tree.set(list, "router", "leases")
		}
		list.items = append(list.items, newItem(o.at, "mac", o.MAC, "name", o.Name, "address", o.Address.Addr().String()))
	}
}

const (
	apiPort = "6443"
	first   = "--cluster-init"
)

// servers lets every node of k3s find the first server, and makes the servers' certificates good
// for all their names.
func (r *reader) servers(c *Cluster) {
	var servers []*Node
	var lead *Node
	for _, n := range c.Nodes {
		if n.Role != "server" {
			continue
		}
		servers = append(servers, n)
		if slices.Contains(n.c.K3OS.K3sArgs, first) || slices.Contains(n.c.K3OS.K3sArgs, first+"=true") {
			if lead != nil {
				r.fail(n.at, "nodes."+n.Name, "leave "+first+" to one of them", "%s and %s would both be the first server", lead.Name, n.Name)
				return
			}
			if n.c.K3OS.ServerURL != "" {
				r.fail(n.at, "nodes."+n.Name, "remove one of them", "%s has both "+first+" and a server_url", n.Name)
				return
			}
			lead = n
		}
	}
	if lead == nil {
		for _, n := range servers {
			if n.c.K3OS.ServerURL == "" {
				lead = n
				break
			}
		}
	}
	for _, n := range servers {
		n.certificates(servers)
		if n == lead && len(servers) > 1 {
			n.arg(first)
		}
	}
	for _, n := range c.Nodes {
		if !n.K3s() || n == lead || n.tree.get("k3os", "server_url") != nil || len(n.c.Missing(n.Role)) == 0 && n.Role == "worker" && n.c.K3OS.Token != "" {
			continue
		}
		if lead == nil {
			r.fail(n.at, "nodes."+n.Name, "add a node with role: server, or k3os: {server_url: https://HOST:6443} to its config", "%s has no server to join", n.Name)
			continue
		}
		n.tree.set(newText(lead.at, "https://"+net.JoinHostPort(lead.Host(), apiPort)), "k3os", "server_url")
	}
	if lead != nil && !lead.Address.IsValid() && slices.ContainsFunc(c.Nodes, func(n *Node) bool { return n.K3s() && n != lead }) {
		r.fail(lead.at, "nodes."+lead.Name+".address", "give it an address: that no DHCP server gives away", "the others cannot find the server %s: it has no address", lead.Name)
	}
}

// certificates names every name and address of the servers to a server, so that kubectl takes any.
func (n *Node) certificates(servers []*Node) {
	for _, s := range servers {
		for _, name := range s.Names() {
			n.arg("--tls-san=" + name)
		}
	}
}

// arg adds an argument of k3s, unless it is there.
func (n *Node) arg(arg string) {
	args := n.c.K3OS.K3sArgs
	if slices.Contains(args, arg) {
		return
	}
	n.c.K3OS.K3sArgs = append(slices.Clone(args), arg)
	at := n.at
	if old := n.tree.get("k3os", "k3s_args"); old != nil {
		at = old.at
	}
	n.tree.set(newList(at, n.c.K3OS.K3sArgs...), "k3os", "k3s_args")
}
