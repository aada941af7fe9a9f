package node

import (
	"strings"
	"time"

	"imgbuild/init/boot/banner"
	"imgbuild/init/boot/consoles"
	"imgbuild/init/supervise"
)

// bannerPause is how long after one banner the next one comes at the earliest: a state that changes
// all the time does not fill the console.
const bannerPause = 10 * time.Second

// Live waits until the node has settled, closes settled, and then keeps the banner fresh. It
// returns only where the node leaves this system.
func (v *View) Live(settled chan<- struct{}) {
	up := v.Settle()
	close(settled)
	if up {
		v.showBanner()
	}
}

// showBanner shows on every console who the node is, how it is and where to log in: now, and
// whenever that has changed. It does not return.
func (v *View) showBanner() {
	last := ""
	for {
		changed := v.Net.Changed()
		if text := banner.Line(v.bannerFacts()); text != last {
			v.Base.Say("%s", text)
			last = text
		}
		time.Sleep(bannerPause)
		select {
		case <-changed:
		case <-time.After(bannerPause): // services may have changed
		}
	}
}

func (v *View) bannerFacts() banner.Facts {
	f := banner.Facts{Host: v.Host}
	for _, i := range v.Net.Status() {
		if i.Carrier {
			f.Addresses = append(f.Addresses, i.Addresses...)
		}
	}
	if v.Layout.Degraded {
		f.Troubles = append(f.Troubles, "without its data partition")
	}
	for _, s := range v.Services.Status() {
		if !s.Optional && !strings.HasPrefix(s.Name, consoles.Prefix) && (s.Outside() || s.Phase == supervise.Failed) {
			f.Troubles = append(f.Troubles, s.String())
		}
	}
	return f
}
