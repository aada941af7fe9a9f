// Package radio keeps wpa_supplicant running as configured.
package radio

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"reflect"
	"sync"
	"time"

	"imgbuild/init/base/guard"
	"imgbuild/init/base/report"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/net/network"
	"imgbuild/init/net/wifi"
	"imgbuild/init/supervise"
)

// Radio is the Wi-Fi of a node. Its exported fields are not changed after it was made; Apply may be
// called from any goroutine.
type Radio struct {
	Config   func() *config.Config // the newest one
	Units    *supervise.Supervisor
	Net      *network.Manager
	Reporter report.Reporter
	Save     func() // the report

	mu       sync.Mutex // of one Apply, and what it has applied
	country  string
	networks []config.WiFi
	added    bool
}

// radioStop is how long wpa_supplicant has to end.
const radioStop = 15 * time.Second

// Apply makes wpa_supplicant run with cfg, or not at all. When it returns, the networks
// that were left out are left.
func (r *Radio) Apply(cfg *config.Config) {
	r.mu.Lock()
	defer r.mu.Unlock()
	networks := cfg.AllWiFi()
	same := cfg.Network.Country == r.country && reflect.DeepEqual(networks, r.networks)
	if same || len(networks) == 0 && !r.added {
		return
	}
	r.country, r.networks = cfg.Network.Country, networks
	t := r.Reporter.For("network")
	if !r.added {
		r.added = true
		t.Problem(r.Units.Add(wifi.Unit(wifi.Node{Config: r.Config, Radio: r.Net.Radio})))
		guard.Go(r.watch)
		guard.Go(func() { r.miss() })
	}
	ctx, cancel := context.WithTimeout(context.Background(), radioStop)
	defer cancel()
	err := r.Units.StopUnit(ctx, wifi.Name)
	if err == nil && len(networks) > 0 {
		err = r.Units.StartUnit(wifi.Name)
	}
	if err == nil && len(networks) == 0 {
		if err = os.Remove(wifi.ConfigFile); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	t.Problem(err)
}

// watch puts what wpa_supplicant reports into the status of the radio there is, and wakes the unit
// when one appears.
func (r *Radio) watch() {
	for {
		changed := r.Net.Changed()
		name := r.Net.Radio()
		if name == "" {
			<-changed
			continue
		}
		r.Reporter.Report.Drop("wifi") // it was missing at first, perhaps
		r.Units.Recheck()
		ctx, cancel := context.WithCancel(context.Background())
		guard.Go(func() {
			said := ""
			wifi.Watch(ctx, name, func(text string) {
				r.Net.Note(name, text)
				if text != said {
					said = text
					if text != "" {
						r.Reporter.Say("network %s: %s", name, text)
					}
				}
			})
		})
		guard.Go(func() { r.repair(ctx, name) })
		for r.Net.Radio() == name {
			<-r.Net.Changed()
		}
		cancel()
	}
}

// repair has a radio that gets no address join its network again.
func (r *Radio) repair(ctx context.Context, name string) {
	state := func() (joined, addressed bool) {
		for _, s := range r.Net.Status() {
			if s.Name == name {
				return s.Carrier && s.DHCP, len(s.Addresses) > 0
			}
		}
		return false, false
	}
	wifi.Repair(ctx, r.Net.Changed, state, func() {
		r.Reporter.Say("network %s: no dhcp server answers in the Wi-Fi network; joining it again", name)
		if err := wifi.Rejoin(name); err != nil {
			r.Reporter.Say("network %s: %v", name, err)
		}
	})
}

// miss reports when Wi-Fi is configured and no radio has come up.
func (r *Radio) miss() {
	time.Sleep(network.WaitLimit)
	if r.Net.Radio() == "" && len(r.Config().AllWiFi()) > 0 {
		r.Reporter.For("wifi").Problem(fault.New(fault.Input, "", "%s", wifi.NoRadio()))
		r.Save()
	}
}
