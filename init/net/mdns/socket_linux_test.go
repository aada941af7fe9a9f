package mdns

import (
	"context"
	"net"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// The port is shared with other programs, such as a container's, that set one option or both. Ours
// has SO_REUSEADDR alone, so that neither takes the packets of the other.
func TestSharedPort(t *testing.T) {
	theirs := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) {
			for _, option := range []int{unix.SO_REUSEADDR, unix.SO_REUSEPORT} {
				if err := unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, option, 1); err != nil {
					t.Error(err)
				}
			}
		})
	}}
	listen := func(lc net.ListenConfig, address string) *net.UDPConn {
		t.Helper()
		c, err := lc.ListenPacket(context.Background(), "udp4", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c.(*net.UDPConn)
	}
	ours := listen(shared, "0.0.0.0:0")
	for _, lc := range []net.ListenConfig{shared, theirs, shared} {
		listen(lc, ours.LocalAddr().String())
	}
	raw, err := ours.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for option, want := range map[int]int{unix.SO_REUSEADDR: 1, unix.SO_REUSEPORT: 0} {
		if err := raw.Control(func(fd uintptr) {
			if got, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, option); err != nil || got != want {
				t.Errorf("option %d: got %d, %v, want %d", option, got, err, want)
			}
		}); err != nil {
			t.Error(err)
		}
	}
}
