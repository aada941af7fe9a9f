package radio

import (
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"imgbuild/init/base/report"
	"imgbuild/init/contract/config"
	"imgbuild/init/net/network"
	"imgbuild/init/net/wifi"
	"imgbuild/init/supervise"
)

// without is a node that has no radio, with a configuration.
func without(t *testing.T, networks ...config.WiFi) (r *Radio, cfg *config.Config, saved *int) {
	t.Helper()
	cfg, saved = &config.Config{}, new(int)
	cfg.Network.WiFi = networks
	return &Radio{
		Config: func() *config.Config { return cfg }, Units: supervise.New(supervise.Options{}),
		Net:      network.New(cfg, "node", filepath.Join(t.TempDir(), "resolv.conf"), func(string, ...any) {}),
		Reporter: report.Reporter{Console: &report.Console{}, Report: &report.Report{}, Step: "run"}, Save: func() { *saved++ },
	}, cfg, saved
}

// wpa_supplicant is a unit of the node from the first network on; it waits for a radio, and stops
// with the last network.
func TestApply(t *testing.T) {
	r, cfg, _ := without(t)
	r.Apply(cfg)
	if _, ok := r.Units.State(wifi.Name); ok {
		t.Error("a node without a network runs wpa_supplicant")
	}
	other := *cfg
	other.Network.WiFi = []config.WiFi{{Name: "home", Passphrase: "correct horse"}}
	r.Apply(&other)
	s, ok := r.Units.State(wifi.Name)
	if !ok || s.Phase == supervise.Stopped {
		t.Errorf("with a network: got %+v", s)
	}
	before := s.Since
	r.Apply(&other)
	if s, _ := r.Units.State(wifi.Name); s.Phase == supervise.Stopped || s.Since.Before(before) {
		t.Errorf("the same networks again: got %+v", s)
	}
	r.Apply(cfg)
	if s, _ := r.Units.State(wifi.Name); s.Phase != supervise.Stopped {
		t.Errorf("without networks: got %+v", s)
	}
	if p := r.Reporter.Report.Problems(); len(p) != 0 {
		t.Errorf("reported: %+v, want length 0", p)
	}
}

// A radio that is configured and never comes is reported, once the others had their time.
func TestMiss(t *testing.T) {
	for _, c := range []struct {
		networks []config.WiFi
		want     int
	}{{[]config.WiFi{{Name: "home", Passphrase: "correct horse"}}, 1}, {nil, 0}} {
		synctest.Test(t, func(t *testing.T) {
			r, _, saved := without(t, c.networks...)
			began := time.Now()
			r.miss()
			if p := r.Reporter.Report.Problems(); len(p) != c.want || *saved != c.want || time.Since(began) != network.WaitLimit {
				t.Errorf("%d networks: reported %+v, saved %d times after %v, want %d after %v", len(c.networks), p, *saved, time.Since(began), c.want, network.WaitLimit)
			}
		})
	}
}
