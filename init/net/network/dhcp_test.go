package network

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// server is a DHCP server without a network: a PacketConn whose other end is a function.
type server struct {
	mu     sync.Mutex
	answer func(*dhcpv4.DHCPv4) *dhcpv4.DHCPv4 // nil: silence
	asked  []*dhcpv4.DHCPv4
	dials  int
}

type wire struct {
	s    *server
	in   chan []byte
	done chan struct{}
	once sync.Once
}

func (s *server) dial() (net.PacketConn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dials++
	return &wire{s: s, in: make(chan []byte, 16), done: make(chan struct{})}, nil
}

func (w *wire) WriteTo(p []byte, _ net.Addr) (int, error) {
	m, err := dhcpv4.FromBytes(bytes.Clone(p))
	if err != nil {
		return 0, err
	}
	w.s.mu.Lock()
	w.s.asked = append(w.s.asked, m)
	a := w.s.answer(m)
	w.s.mu.Unlock()
	if a != nil {
		w.in <- a.ToBytes()
	}
	return len(p), nil
}

func (w *wire) ReadFrom(p []byte) (int, net.Addr, error) {
	select {
	case b := <-w.in:
		return copy(p, b), &net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 67}, nil
	case <-w.done:
		return 0, nil, net.ErrClosed
	}
}

func (w *wire) Close() error                     { w.once.Do(func() { close(w.done) }); return nil }
func (w *wire) LocalAddr() net.Addr              { return &net.UDPAddr{Port: 68} }
func (w *wire) SetDeadline(time.Time) error      { return nil }
func (w *wire) SetReadDeadline(time.Time) error  { return nil }
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

// reply answers as server number n (192.0.2.n) with an address, a lease and further options.
func reply(q *dhcpv4.DHCPv4, n byte, ip string, lease time.Duration, more ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	kind := dhcpv4.MessageTypeAck
	if q.MessageType() == dhcpv4.MessageTypeDiscover {
		kind = dhcpv4.MessageTypeOffer
	}
	a, err := dhcpv4.NewReplyFromRequest(q, append([]dhcpv4.Modifier{
		dhcpv4.WithMessageType(kind), dhcpv4.WithServerIP(net.IPv4(192, 0, 2, n)),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(192, 0, 2, n))),
		dhcpv4.WithYourIP(net.ParseIP(ip)), dhcpv4.WithLeaseTime(uint32(lease / time.Second)),
	}, more...)...)
	if err != nil {
		panic(err)
	}
	return a
}

func nak(q *dhcpv4.DHCPv4, n byte) *dhcpv4.DHCPv4 {
	return reply(q, n, "0.0.0.0", 0, dhcpv4.WithMessageType(dhcpv4.MessageTypeNak))
}

// bench runs a client against s with a clock of its own: sleeping moves it and takes no time.
// leases gets every call.
type bench struct {
	d      *dhcp
	s      *server
	mu     sync.Mutex
	t      time.Time
	said   []string
	leases chan *dhcpv4.DHCPv4
	slept  func(time.Duration) bool // called for each sleep; true means that the link changed
}

func newBench(t *testing.T, answer func(time.Time, *dhcpv4.DHCPv4) *dhcpv4.DHCPv4) *bench {
	b := &bench{s: &server{}, t: time.Unix(1e9, 0), leases: make(chan *dhcpv4.DHCPv4)}
	ctx, cancel := context.WithCancel(t.Context())
	b.d = &dhcp{
		mac: net.HardwareAddr{2, 0, 0, 0, 0, 1}, hostname: "shelf-1", dial: b.s.dial, wait: 10 * time.Millisecond,
		now: func() time.Time { b.mu.Lock(); defer b.mu.Unlock(); return b.t },
		say: func(f string, a ...any) { b.mu.Lock(); b.said = append(b.said, fmt.Sprintf(f, a...)); b.mu.Unlock() },
		sleep: func(_ context.Context, d time.Duration) bool {
			b.mu.Lock()
			defer b.mu.Unlock()
			if b.slept != nil && b.slept(d) {
				return true
			}
			b.t = b.t.Add(max(d, 0))
			return false
		},
		lease: func(a *dhcpv4.DHCPv4) {
			select {
			case b.leases <- a:
			case <-ctx.Done():
			}
		},
	}
	b.s.answer = func(q *dhcpv4.DHCPv4) *dhcpv4.DHCPv4 { return answer(b.d.now(), q) }
	var wg sync.WaitGroup
	wg.Go(func() { b.d.run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return b
}

func (b *bench) next(t *testing.T) *dhcpv4.DHCPv4 {
	t.Helper()
	select {
	case a := <-b.leases:
		return a
	case <-time.After(60 * time.Second):
		b.mu.Lock()
		defer b.mu.Unlock()
		t.Fatalf("no lease; it printed:\n%s", strings.Join(b.said, "\n"))
		return nil
	}
}

func TestAcquireAndRenew(t *testing.T) {
	b := newBench(t, func(now time.Time, q *dhcpv4.DHCPv4) *dhcpv4.DHCPv4 {
		if q.MessageType() == dhcpv4.MessageTypeRequest && !q.ClientIPAddr.IsUnspecified() {
			// A server that leaves out in a renewal what it sent before.
			return reply(q, 1, "192.0.2.50", 2*time.Hour)
		}
		return reply(q, 1, "192.0.2.50", time.Hour, dhcpv4.WithNetmask(net.CIDRMask(24, 32)), dhcpv4.WithRouter(net.IPv4(192, 0, 2, 1)))
	})
	first, second := b.next(t), b.next(t)
	if s := fromLease(first, 7); !reflect.DeepEqual(s.Addresses, []netip.Prefix{netip.MustParsePrefix("192.0.2.50/24")}) || s.Lifetime != time.Hour {
		t.Errorf("first lease %+v", s)
	}
	if s := fromLease(second, 7); len(s.Routes) != 1 || s.Lifetime != 2*time.Hour || s.Addresses[0].Bits() != 24 {
		t.Errorf("renewed lease %+v", s)
	}
	b.s.mu.Lock()
	defer b.s.mu.Unlock()
	if len(b.s.asked) < 3 {
		t.Fatalf("%d packets", len(b.s.asked))
	}
	for i, want := range []dhcpv4.MessageType{dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeRequest, dhcpv4.MessageTypeRequest} {
		q := b.s.asked[i]
		if q.MessageType() != want || q.HostName() != "shelf-1" || !q.IsOptionRequested(dhcpv4.OptionClasslessStaticRoute) || !q.IsOptionRequested(dhcpv4.OptionNTPServers) {
			t.Errorf("packet %d: %s", i, q.Summary())
		}
	}
	if r := b.s.asked[2]; !r.ClientIPAddr.Equal(net.IPv4(192, 0, 2, 50)) || r.ServerIdentifier() != nil || r.RequestedIPAddress() != nil {
		t.Errorf("a renewal carries the address and nothing else (RFC 2131, 4.3.6): %s", r.Summary())
	}
}

// The server falls silent: the lease is kept to its end, another server may take it over after T2,
// then it is given up.
func TestRebindAndExpiry(t *testing.T) {
	var began time.Time
	takeover := false
	b := newBench(t, func(now time.Time, q *dhcpv4.DHCPv4) *dhcpv4.DHCPv4 {
		age := now.Sub(began)
		switch {
		case q.ClientIPAddr.IsUnspecified():
			began = now
			return reply(q, 1, "192.0.2.50", time.Hour)
		case !takeover:
			takeover = age >= time.Hour*7/8
			if !takeover {
				return reply(q, 2, "192.0.2.50", time.Hour) // another server before T2: must be ignored
			}
			began = now
			return reply(q, 2, "192.0.2.50", time.Hour)
		}
		return nil
	})
	if a := b.next(t); !a.ServerIdentifier().Equal(net.IPv4(192, 0, 2, 1)) {
		t.Errorf("first from %s", a.ServerIdentifier())
	}
	if a := b.next(t); a == nil || !a.ServerIdentifier().Equal(net.IPv4(192, 0, 2, 2)) {
		t.Fatalf("not taken over: %v", a)
	}
	if a := b.next(t); a != nil {
		t.Fatalf("kept beyond its end: %s: got %v, want nil", a.Summary(), a)
	}
	if a := b.next(t); a == nil {
		t.Fatal("not asked again")
	}
}

// A server that refuses a renewal takes the address back immediately.
func TestNak(t *testing.T) {
	ip := "192.0.2.50"
	b := newBench(t, func(now time.Time, q *dhcpv4.DHCPv4) *dhcpv4.DHCPv4 {
		if !q.ClientIPAddr.IsUnspecified() {
			ip = "192.0.2.60"
			return nak(q, 1)
		}
		return reply(q, 1, ip, time.Hour)
	})
	if a := b.next(t); a == nil || a.YourIPAddr.String() != "192.0.2.50" {
		t.Fatalf("got %v", a)
	}
	if a := b.next(t); a != nil {
		t.Fatalf("kept a refused address: %v, want nil", a)
	}
	if a := b.next(t); a == nil || a.YourIPAddr.String() != "192.0.2.60" {
		t.Fatalf("got %v", a)
	}
}

// Silence, a refused offer and a bad packet are all tried again, and the reasons are reported.
func TestAcquireTriesAgain(t *testing.T) {
	n := 0
	b := newBench(t, func(now time.Time, q *dhcpv4.DHCPv4) *dhcpv4.DHCPv4 {
		switch n++; {
		case n <= answerTries:
			return nil
		case q.MessageType() == dhcpv4.MessageTypeRequest && n <= answerTries+2:
			return nak(q, 1)
		}
		return reply(q, 1, "192.0.2.50", time.Hour)
	})
	if a := b.next(t); a == nil {
		t.Fatal("no lease")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if said := strings.Join(b.said, "\n"); !strings.Contains(said, "no server answers") || !strings.Contains(said, "192.0.2.1 offered 192.0.2.50 and refused it") {
		t.Errorf("it printed\n%s", said)
	}
}

// A cable that moved to another network, whose server is silent about strange addresses, gets an
// address there without losing the old one before.
func TestCableMoved(t *testing.T) {
	moved, kicked := false, false
	b := newBench(t, func(now time.Time, q *dhcpv4.DHCPv4) *dhcpv4.DHCPv4 {
		switch {
		case !moved:
			return reply(q, 1, "192.0.2.50", time.Hour)
		case !q.ClientIPAddr.IsUnspecified():
			return nil
		}
		return reply(q, 9, "198.51.100.7", time.Hour)
	})
	b.mu.Lock()
	b.slept = func(time.Duration) bool {
		if !kicked {
			kicked = true
			b.s.mu.Lock()
			moved = true
			b.s.mu.Unlock()
			return true
		}
		return false
	}
	b.mu.Unlock()
	if a := b.next(t); a.YourIPAddr.String() != "192.0.2.50" {
		t.Fatalf("got %s", a.YourIPAddr)
	}
	if a := b.next(t); a == nil || a.YourIPAddr.String() != "198.51.100.7" {
		t.Fatalf("got %v", a)
	}
}

// A router that reboots: the link comes back before its server does. The address stays for as long
// as the lease, then it is given up and that is reported; a later answer is taken.
func TestNobodyBehindTheLink(t *testing.T) {
	gone, kicked := false, false
	b := newBench(t, func(now time.Time, q *dhcpv4.DHCPv4) *dhcpv4.DHCPv4 {
		if gone && now.Before(time.Unix(1e9, 0).Add(15*time.Minute)) {
			return nil
		}
		return reply(q, 1, "192.0.2.50", 10*time.Minute)
	})
	b.mu.Lock()
	b.slept = func(time.Duration) bool {
		if !kicked {
			kicked = true
			b.s.mu.Lock()
			gone = true
			b.s.mu.Unlock()
			return true
		}
		return false
	}
	b.mu.Unlock()
	if a := b.next(t); a == nil {
		t.Fatal("no lease")
	}
	if a := b.next(t); a != nil {
		t.Fatalf("got %v, want the end of the lease", a)
	}
	if at := b.d.now().Sub(time.Unix(1e9, 0)); at < 10*time.Minute || at > 10*time.Minute+longPause {
		t.Errorf("given up after %v", at)
	}
	if a := b.next(t); a == nil {
		t.Errorf("then %v", a)
	}
}

// An address that no machine can have is not taken, and a renewal that names no address is for the
// one that was asked for.
func TestOddAddresses(t *testing.T) {
	tries := 0
	b := newBench(t, func(now time.Time, q *dhcpv4.DHCPv4) *dhcpv4.DHCPv4 {
		if tries++; tries <= 2 {
			return reply(q, 1, "0.0.0.0", time.Hour)
		}
		if !q.ClientIPAddr.IsUnspecified() {
			return reply(q, 1, "0.0.0.0", time.Hour)
		}
		return reply(q, 1, "192.0.2.50", time.Hour)
	})
	for range 2 {
		if a := b.next(t); a == nil || a.YourIPAddr.String() != "192.0.2.50" {
			t.Fatalf("got %v", a)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if said := strings.Join(b.said, "\n"); !strings.Contains(said, "not an address for a machine") {
		t.Errorf("it printed\n%s", said)
	}
}

// A lease without an end is looked at again when the cable was somewhere else.
func TestForEverMoved(t *testing.T) {
	kicked := false
	b := newBench(t, func(now time.Time, q *dhcpv4.DHCPv4) *dhcpv4.DHCPv4 {
		if !kicked {
			return reply(q, 1, "192.0.2.50", 0xffffffff*time.Second)
		}
		if q.MessageType() == dhcpv4.MessageTypeRequest && !q.ClientIPAddr.IsUnspecified() {
			return nak(q, 1)
		}
		return reply(q, 9, "198.51.100.7", time.Hour)
	})
	b.mu.Lock()
	b.slept = func(time.Duration) bool {
		if kicked {
			return false
		}
		b.s.mu.Lock()
		kicked = true
		b.s.mu.Unlock()
		return true
	}
	b.mu.Unlock()
	for _, want := range []string{"192.0.2.50", "", "198.51.100.7"} {
		got := ""
		if a := b.next(t); a != nil {
			got = a.YourIPAddr.String()
		}
		if got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
}

func TestLeaseForEver(t *testing.T) {
	b := newBench(t, func(now time.Time, q *dhcpv4.DHCPv4) *dhcpv4.DHCPv4 {
		return reply(q, 1, "192.0.2.50", 0xffffffff*time.Second)
	})
	if s := fromLease(b.next(t), 1); s.Lifetime != 0 || len(s.Addresses) != 1 {
		t.Errorf("%+v: got %v, want Lifetime 0 and length 1", s, len(s.Addresses))
	}
}
