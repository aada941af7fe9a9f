package agent

import (
	"time"

	"imgbuild/init/router/frame"
	"imgbuild/init/router/neighbour"
)

// reflect brings mDNS of one side to the other. IPv6 is left out: machines send by it from
// addresses that hold on their own link alone, and the same by IPv4.
func (a *Agent) reflect(side neighbour.Side, d frame.Datagram, now time.Time) {
	to := neighbour.Uplink - side
	card := a.cards[to]
	if a.Settings.Mode != ProxyARP || !card.Link || d.From == card.MAC || d.From == a.cards[side].MAC || a.table.Looped(now) {
		return
	}
	if out, ok := reflected(d, card.MAC, a.last, &a.budget, now); ok {
		a.attempt("sending mDNS", a.socks[to].send(out.To, out.Bytes(), udp))
	}
}
