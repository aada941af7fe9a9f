// Package banner is the line on every console that shows who the node is, how it is, and where to
// log in.
package banner

import (
	"net/netip"
	"slices"
	"strings"
)

// Facts are what the line is made of.
type Facts struct {
	Host      string
	Addresses []netip.Prefix // of all interfaces with a link
	Troubles  []string       // of services and the data partition, each a line for people
}

// Line is the banner: name, state, addresses, how to log in. IPv4 addresses come first; those of a
// link alone count where there are no others.
func Line(f Facts) string {
	text := f.Host + " is up"
	if len(f.Troubles) > 0 {
		text += ", but " + strings.Join(f.Troubles, "; ")
	}
	list := addresses(f.Addresses)
	if len(list) == 0 {
		return text + "; it has no address"
	}
	return text + "; at " + strings.Join(list, ", ") + "; log in with: ssh rancher@" + list[0]
}

func addresses(all []netip.Prefix) (list []string) {
	var four, six, local []string
	for _, p := range all {
		switch a := p.Addr().Unmap(); {
		case a.IsLoopback():
		case a.IsLinkLocalUnicast():
			local = append(local, a.String())
		case a.Is4():
			four = append(four, a.String())
		default:
			six = append(six, a.String())
		}
	}
	if list = slices.Concat(four, six); len(list) == 0 {
		return local
	}
	return list
}
