package agent

import (
	"errors"
	"math"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"

	"imgbuild/init/router/advert"
	"imgbuild/init/router/frame"
	"imgbuild/init/router/ndp"
	"imgbuild/init/router/neighbour"
)

// six is IPv6 of mode proxy-arp.
type six struct {
	table   *ndp.Table
	adverts *advert.Adverts
	local   [2]netip.Addr // link-local, by neighbour.Side
	own     []netip.Addr
	groups  groups
}

// savedSix is its part of what outlives a restart.
type savedSix struct {
	Boards   []ndp.Board      `json:"boards,omitempty"`
	Networks []advert.Network `json:"networks,omitempty"`
}

func newSix() *six { return &six{table: ndp.New(), adverts: &advert.Adverts{}} }

func (s *six) load(k savedSix, now time.Time) {
	s.table.Load(k.Boards)
	s.adverts.Load(k.Networks, now)
}

func (s *six) save() (savedSix, bool) {
	if s == nil {
		return savedSix{}, false
	}
	boards, one := s.table.Save()
	networks, two := s.adverts.Save()
	return savedSix{boards, networks}, one || two
}

func (a *Agent) factsSix(now time.Time) ndp.Facts {
	return ndp.Facts{
		Now: now, Networks: a.six.adverts.Networks(now), Own: a.six.own, Local: a.six.local,
		MAC: [2]frame.MAC{neighbour.Shelf: a.cards[neighbour.Shelf].MAC, neighbour.Uplink: a.cards[neighbour.Uplink].MAC},
	}
}

func (a *Agent) onShelf() advert.Local {
	return advert.Local{MAC: a.cards[neighbour.Shelf].MAC, Addr: a.six.local[neighbour.Shelf]}
}

// lookSix reads the addresses of the kernel, and makes routes and groups those of the boards.
func (a *Agent) lookSix(now time.Time) {
	up, shelf := a.cards[neighbour.Uplink], a.cards[neighbour.Shelf]
	if a.six == nil || !shelf.Present || up.Name == shelf.Name {
		return
	}
	a.attempt("kernel settings of IPv6", setSysctls(proxySysctls6(shelf.Name)))
	networks, err := a.six.look(a.index, up.Present, now)
	a.attempt("the addresses of IPv6", err)
	if err == nil {
		a.six.adverts.Set(networks, now)
	}
	var boards []netip.Addr
	for _, b := range a.six.table.Boards() {
		boards = append(boards, b.IP)
	}
	a.attempt("the routes of IPv6 to the boards", syncRoutes(a.index[neighbour.Shelf], netlink.FAMILY_V6, boards, netip.Addr{}))
	a.joinSix()
	a.advertise(a.six.adverts.Tick(a.onShelf(), now))
}

// look reads this node's addresses, and returns the networks in which the uplink has one. An
// address counts once the kernel has found no duplicate of it.
func (s *six) look(index [2]int, uplink bool, now time.Time) (networks []advert.Network, err error) {
	all, err := netlink.AddrList(nil, netlink.FAMILY_V6)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, err
	}
	s.own, s.local = nil, [2]netip.Addr{}
	for _, one := range all {
		ip, ok := netip.AddrFromSlice(one.IP)
		if !ok || one.Flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) != 0 {
			continue
		}
		if ip.IsLinkLocalUnicast() {
			for side, i := range index {
				if one.LinkIndex == i && !s.local[side].IsValid() {
					s.local[side] = ip
				}
			}
			continue
		}
		s.own = append(s.own, ip)
		bits, _ := one.Mask.Size()
		if uplink && one.LinkIndex == index[neighbour.Uplink] && bits == 64 && ip.IsGlobalUnicast() {
			n := advert.Network{Net: netip.PrefixFrom(ip, bits).Masked(), Preferred: after(now, one.PreferedLft), Valid: after(now, one.ValidLft)}
			// Temporary addresses of a network end before it does.
			if i := slices.IndexFunc(networks, func(o advert.Network) bool { return o.Net == n.Net }); i < 0 {
				networks = append(networks, n)
			} else if n.Valid.After(networks[i].Valid) {
				networks[i] = n
			}
		}
	}
	return networks, nil
}

// after is a lifetime's end. The library has the largest number, which is for ever, as -1 where a
// number has 32 bits.
func after(now time.Time, seconds int) time.Time {
	if uint32(seconds) == math.MaxUint32 {
		return now.AddDate(1, 0, 0)
	}
	return now.Add(time.Duration(seconds) * time.Second)
}

// takeSix handles a message of neighbour discovery.
func (a *Agent) takeSix(f received, now time.Time) {
	n, ok := frame.ParseND(f.data)
	if a.six == nil || !ok || a.table.Looped(now) {
		return
	}
	if n.Type == frame.RouterSolicit && f.side == neighbour.Shelf && n.From != a.cards[neighbour.Shelf].MAC {
		a.advertise(a.six.adverts.Asked(n, a.onShelf(), now))
		return
	}
	a.arrangeSix(a.six.table.Receive(f.side, n, a.factsSix(now)))
}

func (a *Agent) tickSix(now time.Time) {
	if a.six == nil {
		return
	}
	if a.cards[neighbour.Shelf].Link {
		a.arrangeSix(a.six.table.Tick(a.factsSix(now)))
	}
	a.advertise(a.six.adverts.Tick(a.onShelf(), now))
}

func (a *Agent) advertise(ad frame.Advert, due bool) {
	if due {
		a.attempt("advertising on the shelf", a.socks[neighbour.Shelf].send(ad.To, ad.Bytes(), nd))
	}
}

// arrangeSix carries out what follows from who is where.
func (a *Agent) arrangeSix(steps []ndp.Step) {
	for _, s := range steps {
		index := a.index[neighbour.Shelf]
		switch s.Kind {
		case ndp.AddRoute:
			a.Say("%s (%s) is on the shelf", s.Board.IP, s.Board.MAC)
			a.attempt("the route to "+s.Board.IP.String(), addRoute(index, s.Board.IP, netip.Addr{}))
			a.joinSix()
		case ndp.DelRoute:
			a.Say("%s (%s) is not on the shelf any more", s.Board.IP, s.Board.MAC)
			a.attempt("the route to "+s.Board.IP.String(), delRoute(index, s.Board.IP))
			a.joinSix()
		case ndp.Send:
			a.attempt("sending neighbour discovery", a.socks[s.Side].send(s.ND.To, s.ND.Bytes(), nd))
		}
	}
}

func (a *Agent) joinSix() {
	up := a.cards[neighbour.Uplink]
	if !up.Present {
		return
	}
	ifi := &net.Interface{Index: a.index[neighbour.Uplink], Name: up.Name}
	a.attempt("joining the groups of the boards", a.six.groups.set(ifi, groupsOf(a.six.table.Boards(), frame.Group)))
}

// groups are those of the uplink that questions for the boards go to. A switch or an access point
// may bring what is sent to a group to its members alone.
type groups struct {
	conn   net.PacketConn
	index  int
	joined []netip.Addr
}

func (g *groups) set(ifi *net.Interface, want []netip.Addr) error {
	if g.index != ifi.Index {
		g.close()
	}
	if g.conn == nil {
		c, err := net.ListenPacket("udp6", "[::1]:0") // nothing is read from it
		if err != nil {
			return err
		}
		g.conn, g.index = c, ifi.Index
	}
	p := ipv6.NewPacketConn(g.conn)
	var errs []error
	g.joined = slices.DeleteFunc(g.joined, func(one netip.Addr) bool {
		gone := !slices.Contains(want, one)
		if gone {
			errs = append(errs, p.LeaveGroup(ifi, &net.UDPAddr{IP: one.AsSlice()}))
		}
		return gone
	})
	for _, one := range want {
		if slices.Contains(g.joined, one) {
			continue
		}
		if err := p.JoinGroup(ifi, &net.UDPAddr{IP: one.AsSlice()}); err != nil {
			errs = append(errs, err)
			continue
		}
		g.joined = append(g.joined, one)
	}
	return errors.Join(errs...)
}

func (g *groups) close() {
	if g.conn != nil {
		g.conn.Close()
		g.conn, g.joined = nil, nil
	}
}
