package agent

import (
	"fmt"
	"net/netip"

	"imgbuild/init/router/frame"
)

// nic is a card as the kernel has it.
type nic struct {
	Name    string // as configured while it is not there
	MAC     frame.MAC
	Present bool
	Link    bool
	Address netip.Prefix // IPv4
}

// card is the nic in the status.
func (n nic) card() Card {
	c := Card{Name: n.Name, Present: n.Present, Link: n.Link}
	if n.Present {
		c.MAC = n.MAC.String()
	}
	if n.Address.IsValid() {
		c.Address = n.Address.String()
	}
	return c
}

// Words are a card's state for people.
func (c Card) Words() string {
	switch {
	case !c.Present:
		return "not there"
	case !c.Link:
		return "no link"
	case c.Address != "":
		return "link, " + c.Address
	}
	return "link"
}

// overlap reports that both sides of mode nat have addresses in common: the way to machines of the
// uplink would lead to the shelf. A configuration cannot show it where the uplink asks DHCP.
func overlap(up nic, shelf netip.Prefix) (Problem, bool) {
	if !up.Address.IsValid() || !shelf.IsValid() || !up.Address.Masked().Overlaps(shelf.Masked()) {
		return Problem{}, false
	}
	return Problem{
		What: fmt.Sprintf("the uplink's network %s and the shelf's %s overlap", up.Address.Masked(), shelf.Masked()),
		Fix:  "give the shelf another network with router.shelf.address",
	}, true
}
