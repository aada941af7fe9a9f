package boot

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"reflect"
	"time"

	"imgbuild/init/base/guard"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/net/network"
	"imgbuild/init/net/wifi"
)

// radio is what wpa_supplicant was started for. It belongs to the goroutine of Main.
type radio struct {
	country  string
	networks []config.WiFi
	added    bool
}

// radioStop is how long wpa_supplicant has to end.
const radioStop = 15 * time.Second

// wifi makes wpa_supplicant run with what cfg says, or not at all. When it returns, the networks that were left out are left.
func (n *Node) wifi(cfg *config.Config) {
	networks := cfg.AllWiFi()
	same := cfg.Network.Country == n.radio.country && reflect.DeepEqual(networks, n.radio.networks)
	if same || len(networks) == 0 && !n.radio.added {
		return
	}
	n.radio.country, n.radio.networks = cfg.Network.Country, networks
	t := n.base.For("network")
	if !n.radio.added {
		n.radio.added = true
		t.Problem(n.units.Add(wifi.Unit(wifi.Node{Config: n.current, Radio: n.net.Radio})))
		guard.Go(n.hearRadio)
		guard.Go(func() { n.missRadio() })
	}
	ctx, cancel := context.WithTimeout(context.Background(), radioStop)
	defer cancel()
	err := n.units.StopUnit(ctx, wifi.Name)
	if err == nil && len(networks) > 0 {
		err = n.units.StartUnit(wifi.Name)
	}
	if err == nil && len(networks) == 0 {
		if err = os.Remove(wifi.ConfigFile); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	t.Problem(err)
}

// hearRadio puts what wpa_supplicant says into the status of the radio there is, and wakes the unit when one appears.
func (n *Node) hearRadio() {
	for {
		changed := n.net.Changed()
		name := n.net.Radio()
		if name == "" {
			<-changed
			continue
		}
		n.base.Report.Drop("wifi") // it was missing at first, perhaps
		n.units.Recheck()
		ctx, cancel := context.WithCancel(context.Background())
		guard.Go(func() {
			said := ""
			wifi.Watch(ctx, name, func(text string) {
				n.net.Note(name, text)
				if text != said {
					said = text
					if text != "" {
						n.base.Say("network %s: %s", name, text)
					}
				}
			})
		})
		guard.Go(func() { n.mendRadio(ctx, name) })
		for n.net.Radio() == name {
			<-n.net.Changed()
		}
		cancel()
	}
}

// mendRadio has a radio that gets no address join its network anew.
func (n *Node) mendRadio(ctx context.Context, name string) {
	state := func() (joined, addressed bool) {
		for _, s := range n.net.Status() {
			if s.Name == name {
				return s.Carrier && s.DHCP, len(s.Addresses) > 0
			}
		}
		return false, false
	}
	wifi.Mend(ctx, n.net.Changed, state, func() {
		n.base.Say("network %s: no dhcp server answers in the Wi-Fi network; joining it anew", name)
		if err := wifi.Rejoin(name); err != nil {
			n.base.Say("network %s: %v", name, err)
		}
	})
}

// missRadio tells in the report when Wi-Fi is configured and no radio has come up.
func (n *Node) missRadio() {
	time.Sleep(network.WaitLimit)
	if n.net.Radio() == "" && len(n.current().AllWiFi()) > 0 {
		n.base.For("wifi").Problem(fault.New(fault.Input, "", "%s", wifi.NoRadio()))
		n.saveReport()
	}
}
