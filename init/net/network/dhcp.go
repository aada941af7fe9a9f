package network

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
)

// wanted are the options that we ask a server for.
var wanted = []dhcpv4.OptionCode{
	dhcpv4.OptionSubnetMask, dhcpv4.OptionClasslessStaticRoute, dhcpv4.OptionRouter, dhcpv4.OptionDomainNameServer,
	dhcpv4.OptionDomainName, dhcpv4.OptionDNSDomainSearchList, dhcpv4.OptionNTPServers, dhcpv4.OptionInterfaceMTU,
	dhcpv4.OptionBroadcastAddress, dhcpv4.OptionIPAddressLeaseTime, dhcpv4.OptionRenewTimeValue, dhcpv4.OptionRebindingTimeValue,
}

const (
	answerWait  = 2 * time.Second // for an answer to one packet; doubled with each of the tries
	answerTries = 3
	firstPause  = time.Second // between rounds of tries
	longPause   = 30 * time.Second
)

// dhcp keeps one interface's lease.
type dhcp struct {
	mac      net.HardwareAddr
	hostname string
	dial     func() (net.PacketConn, error)            // a connection that can send before there is an address
	sleep    func(context.Context, time.Duration) bool // returns early when ctx ends, and with true when the link changed
	now      func() time.Time                          // monotonic
	say      func(format string, args ...any)          // for the log
	lease    func(ack *dhcpv4.DHCPv4)                  // a new or renewed lease; nil when it is lost
	failed   func()                                    // nobody gave a lease in a round of tries; may be nil
	wait     time.Duration                             // for an answer, doubled with each try; answerWait if 0
	last     *dhcpv4.DHCPv4                            // the newest acknowledgement, asked for again after a loss of link
	ends     time.Time                                 // when the lease that is held ends, by now; the zero time: none is held
}

// run asks, renews, rebinds and asks again until ctx ends. It keeps the address for as long as the
// lease lasts, whatever the link does.
func (d *dhcp) run(ctx context.Context) {
	pause := firstPause
	for ctx.Err() == nil {
		ack, err := d.acquire(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			d.say("dhcp: %v", err)
			if d.failed != nil {
				d.failed()
			}
			wait := pause
			if !d.ends.IsZero() {
				wait = min(pause, max(d.ends.Sub(d.now()), 0))
			}
			d.sleep(ctx, wait)
			pause = min(2*pause, longPause)
			if ctx.Err() == nil && !d.ends.IsZero() && !d.now().Before(d.ends) {
				d.lose("the lease has run out")
			}
			continue
		}
		pause = firstPause
		d.hold(ctx, ack)
	}
}

// lose removes the address.
func (d *dhcp) lose(why string, args ...any) {
	d.say("dhcp: "+why, args...)
	d.ends = time.Time{}
	d.lease(nil)
}

// hold lives with a lease until it is lost, which is reported, or ctx ends, or nobody answers after
// a link came back: then the lease is still held, until d.ends.
func (d *dhcp) hold(ctx context.Context, ack *dhcpv4.DHCPv4) {
	for {
		began := d.now()
		t, span := leaseTimes(ack), "ever"
		if t.lease == 0 {
			// For ever is for this network: one that is plugged into another is to notice.
			t = times{renew: maxLifetime / 2, rebind: maxLifetime / 8 * 7, lease: maxLifetime}
		} else {
			span = t.lease.String()
		}
		d.last, d.ends = ack, began.Add(t.lease)
		d.lease(ack)
		d.say("dhcp: %s/%d from %s for %s", ack.YourIPAddr, maskBits(ack), ack.ServerIdentifier(), span)
		next, refused := (*dhcpv4.DHCPv4)(nil), false
		for at := t.renew; ; {
			kicked := d.sleep(ctx, at-d.now().Sub(began))
			if ctx.Err() != nil {
				return
			}
			age := d.now().Sub(began)
			if age >= t.lease {
				break
			}
			// Until T2 only the server that gave the lease may renew it, then any.
			var err error
			if next, refused, err = d.renew(ctx, ack, age >= t.rebind); next != nil || refused {
				break
			}
			if ctx.Err() != nil {
				return
			}
			d.say("dhcp: renewing %s: %v", ack.YourIPAddr, err)
			if kicked {
				// The cable may be in another network now, whose server keeps silent about an
				// address that is not its own. Until somebody answers, the address stays; the
				// kernel removes it when the lease ends.
				return
			}
			// RFC 2131, 4.4.5: half of what remains until the next mark, at least a minute if there
			// is that much.
			mark := t.lease
			if age < t.rebind {
				mark = t.rebind
			}
			at = min(d.now().Sub(began)+max((mark-age)/2, time.Minute), mark)
		}
		if next == nil {
			if refused {
				d.last = nil
				d.lose("the server took %s back", ack.YourIPAddr)
			} else {
				d.lose("the lease of %s has run out", ack.YourIPAddr)
			}
			return
		}
		ack = next
	}
}

func maskBits(ack *dhcpv4.DHCPv4) int {
	n, _ := ack.SubnetMask().Size()
	return n
}

// client opens a client for one exchange. A socket kept open for the days between two renewals
// would have every packet of the machine copied to it.
func (d *dhcp) client() (*nclient4.Client, error) {
	conn, err := d.dial()
	if err != nil {
		return nil, err
	}
	return nclient4.NewWithConn(conn, d.mac, nclient4.WithTimeout(cmp.Or(d.wait, answerWait)), nclient4.WithRetry(answerTries))
}

// modifiers are the options of every packet of ours.
func (d *dhcp) modifiers() []dhcpv4.Modifier {
	m := []dhcpv4.Modifier{dhcpv4.WithRequestedOptions(wanted...), dhcpv4.WithOption(dhcpv4.OptMaxMessageSize(1500))}
	if d.hostname != "" {
		m = append(m, dhcpv4.WithOption(dhcpv4.OptHostName(d.hostname)))
	}
	return m
}

// acquire gets a lease by discover, offer, request, acknowledge, asking for the address it had
// last.
func (d *dhcp) acquire(ctx context.Context) (*dhcpv4.DHCPv4, error) {
	c, err := d.client()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	ask := d.modifiers()
	if d.last != nil {
		ask = append(ask, dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(d.last.YourIPAddr)))
	}
	offer, err := c.DiscoverOffer(ctx, ask...)
	if errors.Is(err, nclient4.ErrNoResponse) {
		return nil, errors.New("no server answers")
	}
	if err != nil {
		return nil, err
	}
	lease, err := c.RequestFromOffer(ctx, offer, d.modifiers()...)
	var nak *nclient4.ErrNak
	if errors.As(err, &nak) {
		d.last = nil
		return nil, fmt.Errorf("%s offered %s and refused it", offer.ServerIdentifier(), offer.YourIPAddr)
	}
	if err != nil {
		return nil, err
	}
	if !usable(lease.ACK.YourIPAddr) {
		return nil, fmt.Errorf("%s offered %s, which is not an address for a machine", offer.ServerIdentifier(), lease.ACK.YourIPAddr)
	}
	return lease.ACK, nil
}

// usable reports whether a machine can have this address.
func usable(ip net.IP) bool {
	v4 := ip.To4()
	return v4 != nil && v4[0] != 0 && !v4.IsLoopback() && v4[0] < 224
}

// renew asks for a lease to go on. refused means that the server refused; the error is for
// everything else. The request is broadcast in both phases: servers answer that just as well, and
// it needs no ARP from a socket below IP.
func (d *dhcp) renew(ctx context.Context, ack *dhcpv4.DHCPv4, anyServer bool) (next *dhcpv4.DHCPv4, refused bool, err error) {
	c, err := d.client()
	if err != nil {
		return nil, false, err
	}
	defer c.Close()
	ask, err := dhcpv4.NewRenewFromAck(ack, d.modifiers()...)
	if err != nil {
		return nil, false, err
	}
	match := nclient4.IsMessageType(dhcpv4.MessageTypeAck, dhcpv4.MessageTypeNak)
	if !anyServer {
		match = nclient4.IsAll(match, nclient4.IsCorrectServer(ack.ServerIdentifier()))
	}
	answer, err := c.SendAndRead(ctx, nclient4.DefaultServers, ask, match)
	switch {
	case errors.Is(err, nclient4.ErrNoResponse):
		return nil, false, errors.New("no answer")
	case err != nil:
		return nil, false, err
	case answer.MessageType() == dhcpv4.MessageTypeNak:
		return nil, true, nil
	}
	// Some servers leave out of a renewal what has not changed.
	if !usable(answer.YourIPAddr) {
		answer.YourIPAddr = ack.YourIPAddr
	}
	for code, value := range ack.Options {
		if _, has := answer.Options[code]; !has {
			answer.Options[code] = value
		}
	}
	return answer, false, nil
}
