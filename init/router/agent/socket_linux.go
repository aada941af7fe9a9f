package agent

import (
	"errors"
	"net"

	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"imgbuild/init/base/guard"
	"imgbuild/init/net/mdns"
	"imgbuild/init/router/frame"
	"imgbuild/init/router/neighbour"
)

// kind is what a socket is for.
type kind uint8

// The kinds.
const (
	udp kind = iota // DHCP and mDNS
	arp
	nd // neighbour discovery of IPv6
	kinds
)

// received is a frame; an empty one is the end of the sockets of a side.
type received struct {
	side neighbour.Side
	kind kind
	data []byte
	of   *sockets
}

// sockets are those of one side, by their kind.
type sockets struct {
	index int
	conn  [kinds]*packet.Conn
}

// udpFilter passes whole UDP datagrams from or to port 67, and those of mDNS to everybody: without
// it every packet that the router forwards would be copied to this program.
var udpFilter = []bpf.Instruction{
	bpf.LoadAbsolute{Off: 23, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: 17, SkipFalse: 11},
	bpf.LoadAbsolute{Off: 20, Size: 2},
	bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x3fff, SkipTrue: 9},
	bpf.LoadMemShift{Off: 14},
	bpf.LoadIndirect{Off: 14, Size: 2},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: 67, SkipTrue: 5},
	bpf.LoadIndirect{Off: 16, Size: 2},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: 67, SkipTrue: 3},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: mdns.Port, SkipFalse: 3},
	bpf.LoadAbsolute{Off: 30, Size: 4},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: 224<<24 | 251, SkipFalse: 1},
	bpf.RetConstant{Val: 65535},
	bpf.RetConstant{Val: 0},
}

// ndFilter passes messages of neighbour discovery, whose types are 133 to 136, without extension
// headers.
var ndFilter = []bpf.Instruction{
	bpf.LoadAbsolute{Off: 20, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: 58, SkipFalse: 4},
	bpf.LoadAbsolute{Off: 54, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpLessThan, Val: 133, SkipTrue: 2},
	bpf.JumpIf{Cond: bpf.JumpGreaterThan, Val: 136, SkipTrue: 1},
	bpf.RetConstant{Val: 65535},
	bpf.RetConstant{Val: 0},
}

// listens are the kinds of sockets that a mode needs. In mode nat DHCP is dnsmasq's.
func listens(mode string, six bool) []kind {
	switch {
	case mode != ProxyARP:
		return []kind{arp}
	case six:
		return []kind{arp, udp, nd}
	}
	return []kind{arp, udp}
}

// open opens the sockets of a side; what comes goes to frames until they are closed.
func open(side neighbour.Side, name string, index int, want []kind, frames chan<- received) (*sockets, error) {
	ifi := &net.Interface{Index: index, Name: name}
	s := &sockets{index: index}
	for _, k := range want {
		protocol, program := unix.ETH_P_ARP, []bpf.Instruction(nil)
		switch k {
		case udp:
			protocol, program = unix.ETH_P_IP, udpFilter
		case nd:
			protocol, program = unix.ETH_P_IPV6, ndFilter
		}
		filter, err := bpf.Assemble(program)
		if err == nil {
			s.conn[k], err = packet.Listen(ifi, packet.Raw, protocol, &packet.Config{Filter: filter})
		}
		if err == nil && k != arp {
			err = everyGroup(s.conn[k], index)
		}
		if err != nil {
			s.close()
			return nil, err
		}
	}
	for k, c := range s.conn {
		if c != nil {
			guard.Go(func() { s.read(side, c, kind(k), frames) })
		}
	}
	return s, nil
}

// everyGroup has the card pass what is sent to any group: mDNS has one, and a question for an
// address of IPv6 goes to one that is made of it.
func everyGroup(c *packet.Conn, index int) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var serr error
	err = raw.Control(func(fd uintptr) {
		serr = unix.SetsockoptPacketMreq(int(fd), unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &unix.PacketMreq{Ifindex: int32(index), Type: unix.PACKET_MR_ALLMULTI})
	})
	return errors.Join(err, serr)
}

func (s *sockets) read(side neighbour.Side, c *packet.Conn, k kind, frames chan<- received) {
	buf := make([]byte, 2048)
	for {
		n, _, err := c.ReadFrom(buf)
		if err != nil { // the card is gone or was switched off; or these were closed
			frames <- received{side: side, of: s}
			return
		}
		frames <- received{side, k, append([]byte{}, buf[:n]...), s}
	}
}

func (s *sockets) send(to frame.MAC, data []byte, k kind) error {
	if s == nil || s.conn[k] == nil {
		return nil
	}
	_, err := s.conn[k].WriteTo(data, &packet.Addr{HardwareAddr: to[:]})
	return err
}

func (s *sockets) close() {
	if s == nil {
		return
	}
	for _, c := range s.conn {
		if c != nil {
			c.Close()
		}
	}
}
