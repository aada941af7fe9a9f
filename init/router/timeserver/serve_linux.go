package timeserver

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/ipv4"

	"imgbuild/init/base/guard"
	"imgbuild/init/contract/fault"
)

// Port is NTP's.
const Port = ":123"

// look is how often the facts are read.
const look = time.Minute

// Serve answers on a UDP address until ctx ends. facts is asked every minute.
func Serve(ctx context.Context, address string, facts func() (Facts, error)) error {
	l, err := net.ListenPacket("udp4", address)
	if err != nil {
		return fault.Wrap(err, fault.Unhealthy, "look who has the port", "the time server")
	}
	return serve(ctx, l, facts)
}

func serve(ctx context.Context, l net.PacketConn, facts func() (Facts, error)) error {
	defer l.Close()
	stop := context.AfterFunc(ctx, func() {
		defer guard.Catch()
		l.Close()
	})
	defer stop()
	var known atomic.Pointer[Facts]
	read := func() {
		if f, err := facts(); err == nil {
			known.Store(&f)
		}
	}
	read()
	guard.Go(func() {
		t := time.NewTicker(look)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
				read()
			}
		}
	})
	// The answer has the address that was asked: the node may have several, and that on the uplink
	// stays on lo while the uplink is away.
	conn := ipv4.NewPacketConn(l)
	if err := conn.SetControlMessage(ipv4.FlagDst|ipv4.FlagInterface, true); err != nil {
		return err
	}
	buf := make([]byte, 512)
	for {
		n, cm, from, err := conn.ReadFrom(buf)
		received := time.Now()
		switch {
		case errors.Is(err, net.ErrClosed):
			return ctx.Err()
		case err != nil:
			return fault.Wrap(err, fault.Internal, "", "the time server")
		}
		f := known.Load()
		if f == nil || cm == nil {
			continue
		}
		if answer, ok := Reply(buf[:n], Judge(*f, received), received, time.Now); ok {
			_, _ = conn.WriteTo(answer, &ipv4.ControlMessage{Src: cm.Dst, IfIndex: cm.IfIndex}, from) // the client asks again
		}
	}
}

// Battery reports whether the kernel took its time from a clock that has one, when it started.
func Battery() bool {
	data, err := os.ReadFile("/sys/class/rtc/rtc0/hctosys")
	return err == nil && strings.TrimSpace(string(data)) == "1"
}
