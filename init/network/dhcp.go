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
	wait     time.Duration                             // for an answer, doubled with each try; answerWait if 0
	last     *dhcpv4.DHCPv4                            // the newest acknowledgement, asked for again after a loss of link
}

// run asks, renews, rebinds and asks again until ctx ends. It keeps the address for as long as the lease lasts, whatever
// the link does.
func (d *dhcp) run(ctx context.Context) {
	pause := firstPause
	for ctx.Err() == nil {
		ack, err := d.acquire(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			d.say("dhcp: %v", err)
			d.sleep(ctx, pause)
			pause = min(2*pause, longPause)
			continue
		}
		pause = firstPause
		d.hold(ctx, ack)
	}
}

// hold lives with a lease until it is lost or ctx ends.
func (d *dhcp) hold(ctx context.Context, ack *dhcpv4.DHCPv4) {
	for {
		began := d.now()
		t := leaseTimes(ack)
		d.last = ack
		d.lease(ack)
		d.say("dhcp: %s/%d from %s for %s", ack.YourIPAddr, maskBits(ack), ack.ServerIdentifier(), t.lease)
		if t.lease == 0 {
			<-ctx.Done()
			return
		}
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
				// The cable may be in another network now, whose server keeps silent about an address that is not its own.
				// Until somebody answers, the address stays; the kernel removes it when the lease ends.
				return
			}
			// RFC 2131, 4.4.5: half of what remains until the next mark, at least a minute if there is that much.
			mark := t.lease
			if age < t.rebind {
				mark = t.rebind
			}
			at = min(d.now().Sub(began)+max((mark-age)/2, time.Minute), mark)
		}
		if next == nil {
			if refused {
				d.say("dhcp: the server took %s back", ack.YourIPAddr)
				d.last = nil
			} else {
				d.say("dhcp: the lease of %s has run out", ack.YourIPAddr)
			}
			d.lease(nil)
			return
		}
		ack = next
	}
}

func maskBits(ack *dhcpv4.DHCPv4) int {
	n, _ := ack.SubnetMask().Size()
	return n
}

// client opens a client for one exchange. A socket kept open for the days between two renewals would have every packet of
// the machine copied to it.
func (d *dhcp) client() (*nclient4.Client, error) {
	conn, err := d.dial()
	if err != nil {
		return nil, err
	}
	return nclient4.NewWithConn(conn, d.mac, nclient4.WithTimeout(cmp.Or(d.wait, answerWait)), nclient4.WithRetry(answerTries))
}

// modifiers are what every packet of ours says.
func (d *dhcp) modifiers() []dhcpv4.Modifier {
	m := []dhcpv4.Modifier{dhcpv4.WithRequestedOptions(wanted...), dhcpv4.WithOption(dhcpv4.OptMaxMessageSize(1500))}
	if d.hostname != "" {
		m = append(m, dhcpv4.WithOption(dhcpv4.OptHostName(d.hostname)))
	}
	return m
}

// acquire gets a lease by discover, offer, request, acknowledge, asking for the address it had last.
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
	return lease.ACK, nil
}

// renew asks for a lease to go on. refused means that the server said no; the error is for everything else. The request is
// broadcast in both phases: servers answer that just as well, and it needs no ARP from a socket below IP.
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
	for code, value := range ack.Options {
		if _, has := answer.Options[code]; !has {
			answer.Options[code] = value
		}
	}
	return answer, false, nil
}
