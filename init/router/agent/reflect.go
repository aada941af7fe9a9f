package agent

import (
	"net/netip"
	"time"

	"imgbuild/init/net/mdns"
	"imgbuild/init/router/frame"
)

// perSecond is how many packets of mDNS are brought over in a second: with another reflector
// between both networks each would come back for ever.
const perSecond = 100

// budget counts them.
type budget struct {
	second int64
	used   int
}

func (b *budget) take(now time.Time) bool {
	if s := now.Unix(); s != b.second {
		b.second, b.used = s, 0
	}
	b.used++
	return b.used <= perSecond
}

// reflected is what becomes of a datagram of mDNS on the other side, whose card has this hardware
// address. Its sender stays who it is, so that answers to it alone find it.
func reflected(d frame.Datagram, mac frame.MAC, network netip.Prefix, b *budget, now time.Time) (out frame.Datagram, ok bool) {
	src := d.Src.Addr()
	if !network.IsValid() || !network.Masked().Contains(src) || src == network.Addr() {
		return out, false
	}
	data, ok := mdns.Reflected(d.Data)
	if !ok || !b.take(now) {
		return out, false
	}
	group := netip.AddrPortFrom(mdns.Group4, mdns.Port)
	return frame.Datagram{From: mac, To: frame.MAC{1, 0, 0x5e, 0, 0, 251}, Src: d.Src, Dst: group, Data: data, TTL: 255}, true
}
