// Package confine runs a program that has nothing of the node but what was declared for it: its own
// user namespace, in which it is root and outside of it a user without rights; its own mounts,
// processes and network; no capability, a filter of system calls, a root that it cannot write. Its
// only network is a WireGuard interface, and without one it has none.
//
// Run is the part outside, a process of its own for each program: it makes the namespaces and the
// tunnel, and passes on connections to published ports. Inside is the program's own process before
// it becomes the program.
package confine

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
)

// Spec is what a program gets.
type Spec struct {
	Name      string            `json:"name"`
	Command   []string          `json:"command"`
	User      string            `json:"user"` // who it is outside
	Dir       string            `json:"dir,omitempty"`
	Read      []string          `json:"read,omitempty"`  // paths that it sees
	Write     []string          `json:"write,omitempty"` // and may write, as far as the user may
	WireGuard string            `json:"wireguard,omitempty"`
	Publish   map[string]string `json:"publish,omitempty"` // port: network that may connect
}

// ports are the published ones, by number.
func (s Spec) ports() ([]config.Published, error) {
	list, bad := config.Confined{Publish: s.Publish}.Ports()
	if bad != "" {
		return nil, fault.New(fault.Input, "write it like {8080: 192.168.1.0/24}", "%q: %q is not a port and a network", bad, s.Publish[bad])
	}
	return list, nil
}

// admits reports whether a client may connect: one of the network, or the node itself, which asks
// whether the service is ready.
func admits(p config.Published, client netip.Addr) bool {
	client = client.Unmap().WithZone("")
	return client.IsLoopback() || p.From.Contains(client)
}

// Check reports the first thing that is wrong.
func (s Spec) Check() error {
	if len(s.Command) == 0 || s.Command[0] == "" {
		return fault.New(fault.Input, "set command", "there is no command")
	}
	if s.User == "" || s.User == "root" {
		return fault.New(fault.Input, "set user, such as one of storage.users", "a confined service cannot run as root")
	}
	for _, p := range slices.Concat(s.Read, s.Write) {
		if why := config.InsidePath(p); why != "" {
			return fault.New(fault.Input, "name a directory or a file of the node, such as /srv/data/films", "%q %s", p, why)
		}
	}
	if s.WireGuard != "" && !filepath.IsAbs(s.WireGuard) {
		return fault.New(fault.Input, "write it from / on", "%q is not an absolute path", s.WireGuard)
	}
	_, err := s.ports()
	return err
}

// binds are the declared paths in the order in which they are mounted: those above others first.
// What is declared for both reading and writing may be written.
func (s Spec) binds() (list []bind) {
	for _, p := range s.Read {
		if !slices.Contains(s.Write, p) {
			list = append(list, bind{p, false})
		}
	}
	for _, p := range s.Write {
		list = append(list, bind{p, true})
	}
	slices.SortFunc(list, func(a, b bind) int { return strings.Compare(a.path, b.path) })
	return slices.Compact(list)
}

type bind struct {
	path  string
	write bool
}

// passwd is /etc/passwd inside: root, who is the user outside.
func (s Spec) passwd() string {
	home := "/tmp"
	if len(s.Write) > 0 {
		home = s.Write[0]
	}
	return fmt.Sprintf("root:x:0:0:%s:%s:/usr/sbin/nologin\nnobody:x:65534:65534::/:/usr/sbin/nologin\n", s.User, home)
}
