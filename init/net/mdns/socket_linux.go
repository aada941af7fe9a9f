package mdns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"

	"imgbuild/init/base/guard"
)

// sockets are one for each protocol; a kernel without one of them has one less.
type sockets struct {
	four  *ipv4.PacketConn
	six   *ipv6.PacketConn
	close []func() error
}

// backlog is how many packets wait to be looked at; more are dropped, as on any network.
const backlog = 64

// shared makes sockets on a port that other programs may listen on too. They have SO_REUSEADDR and
// not SO_REUSEPORT, with which the kernel gives what one socket alone has joined to any socket of
// its user (findings/multicast-reuseport.sh).
var shared = net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
	if cerr := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) }); cerr != nil {
		return cerr
	}
	return err
}}

// open makes the sockets, and hands on what comes until they are closed.
func open(port int, got chan<- Packet) (*sockets, error) {
	s := &sockets{}
	four, err := shared.ListenPacket(context.Background(), "udp4", fmt.Sprintf("0.0.0.0:%d", port))
	if err == nil {
		s.close = append(s.close, four.Close)
		s.four = ipv4.NewPacketConn(four)
		// Without this a socket gets what any other of the machine has joined.
		only(four, unix.IPPROTO_IP, unix.IP_MULTICAST_ALL)
		err = errors.Join(s.four.SetControlMessage(ipv4.FlagInterface, true), s.four.SetMulticastTTL(255), s.four.SetTTL(255), s.four.SetMulticastLoopback(true))
	}
	six, err6 := shared.ListenPacket(context.Background(), "udp6", fmt.Sprintf("[::]:%d", port))
	if err6 == nil {
		s.close = append(s.close, six.Close)
		s.six = ipv6.NewPacketConn(six)
		only(six, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_ALL)
		err6 = errors.Join(s.six.SetControlMessage(ipv6.FlagInterface, true), s.six.SetMulticastHopLimit(255), s.six.SetHopLimit(255), s.six.SetMulticastLoopback(true))
	}
	if err != nil && err6 != nil {
		s.Close()
		return nil, errors.Join(err, err6)
	}
	if s.four != nil {
		guard.Go(func() {
			read(got, func(b []byte) (int, int, net.Addr, error) {
				n, cm, from, err := s.four.ReadFrom(b)
				if cm == nil {
					return n, 0, from, err
				}
				return n, cm.IfIndex, from, err
			})
		})
	}
	if s.six != nil {
		guard.Go(func() {
			read(got, func(b []byte) (int, int, net.Addr, error) {
				n, cm, from, err := s.six.ReadFrom(b)
				if cm == nil {
					return n, 0, from, err
				}
				return n, cm.IfIndex, from, err
			})
		})
	}
	return s, nil
}

func only(c net.PacketConn, level, option int) {
	if raw, err := c.(*net.UDPConn).SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), level, option, 0) })
	}
}

// read hands on packets until the socket is closed.
func read(got chan<- Packet, next func([]byte) (n, link int, from net.Addr, err error)) {
	buf := make([]byte, maxPacket+1)
	for {
		n, link, from, err := next(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		udp, ok := from.(*net.UDPAddr)
		if err != nil || !ok {
			continue // such as a message of ICMP about one that we sent
		}
		select {
		case got <- Packet{Link: link, From: udp.AddrPort(), Data: append([]byte(nil), buf[:n]...)}:
		default:
		}
	}
}

// join has the packets of a link come too. One that has them already is not an error.
func (s *sockets) join(l Link) error {
	ifi := &net.Interface{Index: l.Index, Name: l.Name}
	var errs []error
	if s.four != nil && l.Has(true) {
		errs = append(errs, s.four.JoinGroup(ifi, &net.UDPAddr{IP: Group4.AsSlice()}))
	}
	if s.six != nil && l.Has(false) {
		errs = append(errs, s.six.JoinGroup(ifi, &net.UDPAddr{IP: Group6.AsSlice()}))
	}
	for i, err := range errs {
		if errors.Is(err, unix.EADDRINUSE) {
			errs[i] = nil
		}
	}
	return errors.Join(errs...)
}

// leave is join's end. An interface that is gone was left by itself.
func (s *sockets) leave(l Link) {
	ifi := &net.Interface{Index: l.Index, Name: l.Name}
	if s.four != nil {
		_ = s.four.LeaveGroup(ifi, &net.UDPAddr{IP: Group4.AsSlice()})
	}
	if s.six != nil {
		_ = s.six.LeaveGroup(ifi, &net.UDPAddr{IP: Group6.AsSlice()})
	}
}

// send sends a message out of the link that it is for.
func (s *sockets) send(o Out, from Link, port uint16) error {
	b, err := o.Msg.Pack()
	if err != nil {
		return err
	}
	to, four := o.To, o.Four
	if to.IsValid() {
		four = to.Addr().Unmap().Is4()
	} else if four {
		to = netip.AddrPortFrom(Group4, port)
	} else {
		to = netip.AddrPortFrom(Group6, port)
	}
	dst := &net.UDPAddr{IP: to.Addr().Unmap().WithZone("").AsSlice(), Port: int(to.Port())}
	switch {
	case four && s.four != nil:
		_, err = s.four.WriteTo(b, &ipv4.ControlMessage{IfIndex: o.Link, Src: from.Source(o.To.Addr()).AsSlice()}, dst)
	case !four && s.six != nil:
		_, err = s.six.WriteTo(b, &ipv6.ControlMessage{IfIndex: o.Link}, dst)
	}
	return err
}

// Close ends the sockets.
func (s *sockets) Close() {
	for _, f := range s.close {
		_ = f()
	}
}
