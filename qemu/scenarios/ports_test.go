package scenarios

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"imgbuild/images"
)

// comparePorts holds what a node of a role listens on against what images/ declares. The node's own
// ports must all be open and no others; of k3s' those are asked for that this k3s opens, and a real
// one opens all that it always does.
func comparePorts(t *testing.T, s *shell, role string, wholeK3s bool) {
	t.Helper()
	base, err := images.GetBase()
	if err != nil {
		t.Fatal(err)
	}
	own, _, err := images.Get(role)
	if err != nil || own == nil {
		t.Fatalf("role %s: %v", role, err)
	}
	declared := slices.Concat(base.Ports, own.Ports)
	s.until("sudo shelf status", "node-exporter    ready")
	shelf, err := netip.ParseAddr(s.run("ip -4 -o route get 192.0.2.1 | sed 's/.* src \\([0-9.]*\\).*/\\1/'"))
	if err != nil {
		t.Fatal(err)
	}
	open := listeners(t, s.run("for f in tcp tcp6 udp udp6; do sed \"s/^/$f /\" /proc/net/$f; done"))
	for _, l := range open {
		if !slices.ContainsFunc(declared, func(p images.Port) bool { return p.Covers(l.proto, l.at, shelf) }) {
			t.Errorf("the %s listens on %s, which images/ does not declare", role, l)
		}
	}
	for _, p := range declared {
		if p.Sometimes || p.By == "k3s" && !wholeK3s {
			continue
		}
		if !slices.ContainsFunc(open, func(l listener) bool { return p.Covers(l.proto, l.at, shelf) }) {
			t.Errorf("nobody on the %s listens on %s, which images/ declares for %s", role, p.Listen, p.By)
		}
	}
	t.Logf("the %s with the address %s listens on %v", role, shelf, open)
}

// listener is a socket that takes what comes.
type listener struct {
	proto string // tcp or udp
	at    netip.AddrPort
}

func (l listener) String() string { return l.proto + " " + l.at.String() }

// listeners reads lines of /proc/net/{tcp,tcp6,udp,udp6} (proc_net_tcp of the kernel's
// documentation), each after its file's name: TCP sockets in the state LISTEN (0A), UDP sockets
// without a peer.
func listeners(t *testing.T, text string) (all []listener) {
	t.Helper()
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 5 || f[1] == "sl" {
			continue
		}
		proto := strings.TrimSuffix(f[0], "6")
		local, err := address(f[2])
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		peer, err := address(f[3])
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if proto == "tcp" && f[4] == "0A" || proto == "udp" && peer.Port() == 0 {
			all = append(all, listener{proto, local})
		}
	}
	return all
}

// address reads ADDRESS:PORT in hexadecimal: the address in words of 32 bits as a little-endian
// machine holds them.
func address(s string) (netip.AddrPort, error) {
	host, port, _ := strings.Cut(s, ":")
	a, err := hex.DecodeString(host)
	p, err2 := hex.DecodeString(port)
	if err != nil || err2 != nil || len(a)%4 != 0 || len(p) != 2 {
		return netip.AddrPort{}, fmt.Errorf("%q is not an address", s)
	}
	for i := 0; i < len(a); i += 4 {
		slices.Reverse(a[i : i+4])
	}
	ip, ok := netip.AddrFromSlice(a)
	if !ok {
		return netip.AddrPort{}, fmt.Errorf("%q is not an address", s)
	}
	return netip.AddrPortFrom(ip, binary.BigEndian.Uint16(p)), nil
}

func TestListeners(t *testing.T) {
	got := listeners(t, `tcp   sl  local_address rem_address   st tx_queue
tcp    0: 0F02000A:238C 00000000:0000 0A 00000000:00000000
tcp    1: 0F02000A:0016 0202000A:ADA2 01 00000000:00000000
tcp6    0: 00000000000000000000000001000000:0016 00000000000000000000000000000000:0000 0A
udp    0: 00000000:2118 00000000:0000 07
udp    1: 0F02000A:1000 0302000A:0035 01
`)
	if s := fmt.Sprint(got); s != "[tcp 10.0.2.15:9100 tcp [::1]:22 udp 0.0.0.0:8472]" {
		t.Errorf("got %q, want %q", s, "[tcp 10.0.2.15:9100 tcp [::1]:22 udp 0.0.0.0:8472]")
	}
}
