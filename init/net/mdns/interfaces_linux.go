package mdns

import (
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"imgbuild/init/net/network"
)

// Interfaces returns what Choose needs to know of the interfaces that the node runs. Those of pods
// and of other programs are not among them.
func Interfaces(list []network.Status) []Interface {
	var out []Interface
	for _, s := range list {
		l, err := netlink.LinkByName(s.Name)
		if err != nil {
			continue // gone meanwhile, which is news to come
		}
		a := l.Attrs()
		i := Interface{
			Name: s.Name, MAC: a.HardwareAddr.String(), Index: a.Index, Kind: l.Type(), Carrier: s.Carrier, Port: s.Port, Addresses: s.Addresses,
			Multicast: a.RawFlags&unix.IFF_MULTICAST != 0, Point: a.RawFlags&unix.IFF_POINTOPOINT != 0,
		}
		if s.WiFi {
			i.Kind = "device"
		}
		if s.Local.IsValid() {
			i.Addresses = append(i.Addresses[:len(i.Addresses):len(i.Addresses)], s.Local)
		}
		out = append(out, i)
	}
	return out
}
