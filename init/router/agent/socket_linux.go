package agent

import (
	"errors"
	"net"

	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"imgbuild/init/base/guard"
	"imgbuild/init/router/frame"
	"imgbuild/init/router/neighbour"
)

// received is a frame; an empty one is the end of the sockets of a side.
type received struct {
	side neighbour.Side
	arp  bool
	data []byte
	of   *sockets
}

// sockets are those of one side.
type sockets struct {
	index     int
	arp, dhcp *packet.Conn
}

// dhcpFilter passes whole UDP datagrams from or to port 67: without it every packet that the
// router forwards would be copied to this program.
var dhcpFilter = []bpf.Instruction{
	bpf.LoadAbsolute{Off: 23, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: 17, SkipFalse: 8},
	bpf.LoadAbsolute{Off: 20, Size: 2},
	bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x3fff, SkipTrue: 6},
	bpf.LoadMemShift{Off: 14},
	bpf.LoadIndirect{Off: 14, Size: 2},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: 67, SkipTrue: 2},
	bpf.LoadIndirect{Off: 16, Size: 2},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: 67, SkipFalse: 1},
	bpf.RetConstant{Val: 65535},
	bpf.RetConstant{Val: 0},
}

// open opens the sockets of a side; what comes goes to frames until they are closed.
func open(side neighbour.Side, name string, index int, frames chan<- received) (*sockets, error) {
	ifi := &net.Interface{Index: index, Name: name}
	arp, err := packet.Listen(ifi, packet.Raw, unix.ETH_P_ARP, nil)
	if err != nil {
		return nil, err
	}
	filter, err := bpf.Assemble(dhcpFilter)
	if err != nil {
		return nil, errors.Join(err, arp.Close())
	}
	dhcp, err := packet.Listen(ifi, packet.Raw, unix.ETH_P_IP, &packet.Config{Filter: filter})
	if err != nil {
		return nil, errors.Join(err, arp.Close())
	}
	s := &sockets{index, arp, dhcp}
	guard.Go(func() { s.read(side, arp, true, frames) })
	guard.Go(func() { s.read(side, dhcp, false, frames) })
	return s, nil
}

func (s *sockets) read(side neighbour.Side, c *packet.Conn, arp bool, frames chan<- received) {
	buf := make([]byte, 2048)
	for {
		n, _, err := c.ReadFrom(buf)
		if err != nil { // the card is gone or was switched off; or these were closed
			frames <- received{side: side, of: s}
			return
		}
		frames <- received{side, arp, append([]byte{}, buf[:n]...), s}
	}
}

func (s *sockets) send(to frame.MAC, data []byte, arp bool) error {
	if s == nil {
		return nil
	}
	c := s.dhcp
	if arp {
		c = s.arp
	}
	_, err := c.WriteTo(data, &packet.Addr{HardwareAddr: to[:]})
	return err
}

func (s *sockets) close() {
	if s != nil {
		s.arp.Close()
		s.dhcp.Close()
	}
}
