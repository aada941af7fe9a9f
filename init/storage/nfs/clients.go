package nfs

import (
	"io/fs"
	"net/netip"
	"slices"
	"strings"
)

// Peer is a client of the NFS server. Its name is what it calls itself: after a restart of the
// server it comes back under the same one.
type Peer struct {
	Name    string `json:"name"`
	Address string `json:"address"`
}

// String is the peer for people.
func (p Peer) String() string {
	name := p.Name
	if _, rest, ok := strings.Cut(name, " NFSv4"); ok { // Linux NFSv4.2 HOST, Linux NFSv4.2 HOST/ID
		if _, host, ok := strings.Cut(rest, " "); ok {
			name = host
		}
	}
	return name + " (" + p.Address + ")"
}

// probeName begins the name of the clients that ExchangeID makes.
const probeName = "shelf probe "

// Clients reads the clients that may hold files open or locked: those of NFS 4 that have introduced
// themselves. dir is /proc/fs/nfsd/clients of Linux, with a directory for each.
func Clients(dir fs.FS) ([]Peer, error) {
	entries, err := fs.ReadDir(dir, ".")
	if err != nil {
		return nil, err
	}
	var list []Peer
	for _, e := range entries {
		text, err := fs.ReadFile(dir, e.Name()+"/info")
		if err != nil {
			continue // it has just gone
		}
		if p, ok := parseClient(string(text)); ok && !slices.ContainsFunc(list, func(o Peer) bool { return o.Name == p.Name }) {
			list = append(list, p)
		}
	}
	slices.SortFunc(list, func(a, b Peer) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// parseClient reads the file info of a client; false for one that does not count.
func parseClient(text string) (Peer, bool) {
	var p Peer
	confirmed := false
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		value = strings.Trim(value, `"`)
		switch key {
		case "name":
			p.Name = value
		case "address":
			if p.Address = value; strings.Contains(value, ":") {
				if at, err := netip.ParseAddrPort(value); err == nil {
					p.Address = at.Addr().String()
				}
			}
		case "status":
			confirmed = value != "unconfirmed"
		}
	}
	return p, confirmed && p.Name != "" && !strings.HasPrefix(p.Name, probeName)
}

// Away returns the clients that were known and have not come back.
func Away(known, now []Peer) []Peer {
	var list []Peer
	for _, k := range known {
		if !slices.ContainsFunc(now, func(p Peer) bool { return p.Name == k.Name }) {
			list = append(list, k)
		}
	}
	return list
}
