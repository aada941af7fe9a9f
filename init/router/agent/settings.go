// Package agent is the service of a router: it carries out what packages relay and neighbour decide
// in mode proxy-arp, and keeps the firewall of mode nat. It is a process of its own; PID 1 reads
// the status that it writes.
package agent

import (
	"encoding/json"
	"net/netip"
	"os"
	"time"

	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/fault"
)

// Where the service's files are.
const (
	RunDir       = "/run/shelf/router"
	SettingsFile = RunDir + "/settings.json"
	StatusFile   = RunDir + "/status.json"
	StateDir     = "/var/lib/shelf/router"
)

// BlocklistUnit is the unit that reads the blocklists.
const BlocklistUnit = "blocklists"

// The modes.
const (
	ProxyARP = "proxy-arp"
	NAT      = "nat"
)

// Settings is what PID 1 gives the service. Uplink and Shelf are names or hardware addresses.
type Settings struct {
	Mode   string `json:"mode"`
	Uplink string `json:"uplink"`
	Shelf  string `json:"shelf"`
	NAT    Nat    `json:"nat,omitzero"`
	Names  Names  `json:"names,omitzero"`
}

// Nat is what mode nat needs besides.
type Nat struct {
	Network  netip.Prefix `json:"network"` // of the shelf, with the router's own address
	SSH      bool         `json:"ssh"`     // open to the uplink whatever its address
	Forwards []Forward    `json:"forwards,omitempty"`
}

// Forward is a port of the uplink that leads to a machine of the shelf.
type Forward struct {
	Protocol string         `json:"protocol"` // tcp or udp
	Port     uint16         `json:"port"`
	To       netip.AddrPort `json:"to"`
}

// ReadSettings reads the settings.
func ReadSettings(file string) (s Settings, err error) {
	data, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	return s, fault.Wrap(err, fault.Internal, "", "the settings of the router")
}

// Write writes the settings for the service.
func (s Settings) Write(file string) error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return atomicfile.Write(file, data, 0o644)
}

// Card is one side of the router.
type Card struct {
	Name    string `json:"name"` // as configured while it is not there
	MAC     string `json:"mac,omitempty"`
	Present bool   `json:"present"`
	Link    bool   `json:"link"`
	Address string `json:"address,omitempty"` // IPv4, with its prefix length
}

// Board is a machine on the shelf.
type Board struct {
	IP    string    `json:"ip"`
	MAC   string    `json:"mac"`
	Name  string    `json:"name,omitempty"`
	Until time.Time `json:"until,omitzero"` // of its lease
	Since time.Time `json:"since,omitzero"`
	IPv6  []string  `json:"ipv6,omitempty"` // its further addresses
}

// Server is a DHCP server of the uplink, and the form of requests that it answers.
type Server struct {
	IP   string `json:"ip"`
	Form string `json:"form"` // giaddr or broadcast
}

// Problem is something that people have to fix.
type Problem struct {
	What string `json:"what"`
	Fix  string `json:"fix"`
}

// Blocklist is a list of names that are not resolved.
type Blocklist struct {
	From    string    `json:"from"`
	Names   int       `json:"names"`
	Fetched time.Time `json:"fetched,omitzero"`
	Left    string    `json:"left,omitempty"` // what was left out, for people
}

// Status is how the router is.
type Status struct {
	Mode     string      `json:"mode"`
	Uplink   Card        `json:"uplink"`
	Shelf    Card        `json:"shelf"`
	Gateway  string      `json:"gateway,omitempty"`
	Answered time.Time   `json:"answered,omitzero"` // when the gateway answered ARP last
	Boards   []Board     `json:"boards"`
	Servers  []Server    `json:"servers,omitempty"`
	Lists    []Blocklist `json:"blocklists,omitempty"`
	Blocked  int         `json:"blocked,omitempty"` // names, of all lists together
	Problems []Problem   `json:"problems,omitempty"`
	Written  time.Time   `json:"written"`
}

// Load reads the status that the service wrote last.
func Load(file string) (s Status, err error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(data, &s)
}

// Times by which a status is judged.
const (
	lookEvery = 5 * time.Second  // the service looks at its cards and writes its status
	silent    = 30 * time.Second // so long a gateway may be silent, and a status may be old
)

// Fault is why the router does not do its work; nil if it does.
func (s Status) Fault(now time.Time) error {
	fail := func(fix, format string, args ...any) error { return fault.New(fault.Unhealthy, fix, format, args...) }
	switch {
	case now.Sub(s.Written) > silent:
		return fail("run sudo shelf restart router", "the router's service has not reported for %v", now.Sub(s.Written).Round(time.Second))
	case !s.Uplink.Present:
		return fail("see router.uplink.interface and shelf network", "there is no interface %s for the uplink", s.Uplink.Name)
	case !s.Shelf.Present:
		return fail("see router.shelf.interface and shelf network", "there is no interface %s for the shelf", s.Shelf.Name)
	case !s.Uplink.Link:
		return fail("look at the cable, or at the Wi-Fi network in shelf network", "the uplink %s has no link", s.Uplink.Name)
	case s.Uplink.Address == "":
		return fail("look at the DHCP server of that network", "the uplink %s has no address", s.Uplink.Name)
	case s.Gateway != "" && now.Sub(s.Answered) > silent:
		return fail("look at the modem", "the gateway %s does not answer on %s", s.Gateway, s.Uplink.Name)
	}
	return nil
}
