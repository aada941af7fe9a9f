package agent

import (
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
