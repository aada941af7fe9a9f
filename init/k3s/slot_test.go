package k3s

import (
	"encoding/pem"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"testing"
	"time"

	"imgbuild/init/contract/config"
)

// span is a restart of one server.
type span struct {
	name     string
	from, to time.Time
	by       permission
}

// servers plays the nights of servers whose certificates end in 61 days, minute by minute, each
// asking as its upkeep does. A restart takes up to the limits of stopping and starting. ask is how
// a server asks for its turn; back gives it back.
func servers(names []string, r *rand.Rand, ask func(name string, now time.Time) (bool, error), back func(name string)) []span {
	began := time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC)
	ends := map[string]time.Time{}
	busy := map[string]time.Time{}
	has := map[string]permission{}
	for _, name := range names {
		ends[name] = began.Add(61*day + time.Duration(r.IntN(3600))*time.Second)
	}
	var all []span
	for now := began; now.Before(began.Add(70 * day)); now = now.Add(time.Minute) {
		if h := now.Hour(); h > 5 || h < 2 { // nothing happens then
			now = now.Add(29 * time.Minute)
		}
		for _, i := range r.Perm(len(names)) {
			name := names[i]
			at := now.Add(time.Duration(r.IntN(1000)) * time.Millisecond) // clocks that agree to a second
			if until := busy[name]; !until.IsZero() {
				if at.Before(until) {
					continue
				}
				delete(busy, name)
				if has[name] == hasTurn {
					back(name)
				}
				ends[name] = at.Add(365 * day)
			}
			v := decide(condition{now: at, synced: true, read: true, ends: ends[name], window: inWindow(at, "")})
			if !v.restart {
				continue
			}
			mine, err := ask(name, at)
			by := permit(mine, err, name, at, ends[name], "")
			if by == mustWait {
				continue
			}
			busy[name], has[name] = at.Add(time.Duration(r.Int64N(int64(stopLimit+readyLimit)))), by
			all = append(all, span{name, at, busy[name], by})
		}
	}
	return all
}

// overlap gives two restarts at the same time.
func overlap(all []span) string {
	for i, a := range all {
		for _, b := range all[i+1:] {
			if a.name != b.name && a.from.Before(b.to) && b.from.Before(a.to) {
				return fmt.Sprintf("%s from %s to %s, %s from %s to %s", a.name, a.from, a.to, b.name, b.from, b.to)
			}
		}
	}
	return ""
}

// TestServersTakeTurns has servers share one lease store, as those of a cluster do: each restarts
// once, before its certificate ends, and never while another one does.
func TestServersTakeTurns(t *testing.T) {
	for seed := range uint64(6) {
		api := &leaseAPI{}
		s := httptest.NewServer(api)
		c := cluster{s.Client(), s.URL}
		var names []string
		for i := range 2 + int(seed)%3 {
			names = append(names, fmt.Sprintf("server-%d", i+1))
		}
		all := servers(names, rand.New(rand.NewPCG(seed, 9)), func(name string, now time.Time) (bool, error) {
			return c.take(t.Context(), name, now)
		}, func(name string) {
			if err := c.giveBack(t.Context(), name); err != nil {
				t.Error(err)
			}
		})
		s.Close()
		if got := overlap(all); got != "" {
			t.Errorf("seed %d: %s", seed, got)
		}
		if len(all) != len(names) {
			t.Errorf("seed %d: %d restarts of %d servers: %+v", seed, len(all), len(names), all)
		}
	}
}

// TestServersOnTheirOwn has servers that can ask nobody: each restarts once, in its own slot, with
// weeks to go; and two restart at the same time only if their names share a slot.
func TestServersOnTheirOwn(t *testing.T) {
	refused := errors.New("connection refused")
	r := rand.New(rand.NewPCG(1, 2))
	for range 30 {
		names := []string{fmt.Sprintf("shelf-%d", r.IntN(1000)), fmt.Sprintf("k3os-%x", r.IntN(1<<24)), fmt.Sprintf("pi%d.lan", r.IntN(50))}
		all := servers(names, r, func(string, time.Time) (bool, error) { return false, refused }, nil)
		if len(all) != len(names) {
			t.Errorf("%v: %d restarts: %+v, want %v", names, len(all), all, len(names))
		}
		slots := map[int64]string{}
		for _, one := range all {
			slot := one.from.Unix() / int64(slotLength/time.Second)
			if end := time.Unix((slot+1)*int64(slotLength/time.Second), 0); one.to.After(end) {
				t.Errorf("%s restarts from %s to %s, beyond its slot", one.name, one.from, one.to)
			}
			if other := slots[slot]; other != "" && (slotNumber(other)-slotNumber(one.name))%(slotNights*slotsNight) != 0 {
				t.Errorf("%s and %s restart at %s, and their slots differ", one.name, other, one.from)
			}
			slots[slot] = one.name
			if one.by != ownTime || !inWindow(one.from, "") {
				t.Errorf("%+v", one)
			}
		}
	}
}

// TestEverySlotComes: whatever the name and the zone, a server gets its slot at night before the
// hurry begins, in the hurry within a day, and immediately when its certificate has ended.
func TestEverySlotComes(t *testing.T) {
	now := time.Date(2027, 6, 1, 13, 37, 0, 0, time.UTC)
	for i := range 8 {
		name := fmt.Sprintf("server-%d", i)
		for _, zone := range []string{"", "Asia/Kolkata", "Asia/Kathmandu", "America/St_Johns", "Asia/Dubai"} {
			came := false
			for at := now; !came && at.Before(now.Add(renewSoon-renewNow)); at = at.Add(2 * time.Minute) {
				came = ownSlot(name, at, renewSoon, zone)
			}
			if !came {
				t.Errorf("%s in %q: no slot at night within %v", name, zone, renewSoon-renewNow)
			}
		}
		minutes := 0
		for at := now; at.Before(now.Add(day)); at = at.Add(time.Minute) {
			if ownSlot(name, at, renewNow-time.Second, "") {
				minutes++
			}
		}
		if minutes == 0 || minutes > int(slotBegins/time.Minute) {
			t.Errorf("%s in a hurry: a restart may begin in %d minutes of a day, want 1 to %d", name, minutes, slotBegins/time.Minute)
		}
		if got := permit(false, errors.New("refused"), name, now, now, ""); got != ownTime {
			t.Errorf("a certificate that has ended waits: %d", got)
		}
		if got := permit(false, nil, name, now, now, ""); got != mustWait {
			t.Errorf("another server has the turn: got %d", got)
		}
	}
}

// TestOtherWays: a server that runs no API asks through its kubelet's.
func TestOtherWays(t *testing.T) {
	api := &leaseAPI{}
	s := httptest.NewTLSServer(api)
	defer s.Close()
	data := t.TempDir()
	tls := data + "/server/tls/"
	pki(t, tls)
	put(t, tls+"server-ca.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})))
	put(t, data+"/agent/kubelet.kubeconfig", "clusters:\n- cluster: {server: '"+s.URL+"', certificate-authority: "+tls+"server-ca.crt}\nusers:\n- user: {client-certificate: "+tls+"client-admin.crt, client-key: "+tls+"client-admin.key}\n")
	cfg := &config.Config{K3OS: config.K3OS{K3sArgs: []string{"server", "--disable-apiserver", "--https-listen-port", "1", "--data-dir", data}}}
	if mine, err := takeTurn(t.Context(), cfg, "one", time.Now()); err != nil || !mine {
		t.Errorf("got %v, %v", mine, err)
	}
	if mine, err := takeTurn(t.Context(), cfg, "two", time.Now()); err != nil || mine {
		t.Errorf("a second one: got %v, %v", mine, err)
	}
	if err := giveTurnBack(t.Context(), cfg, "one"); err != nil || api.object.Spec.Holder != "" {
		t.Errorf("given back: %v, %+v", err, api.object)
	}
	s.Close()
	if _, err := takeTurn(t.Context(), cfg, "two", time.Now()); err == nil {
		t.Error("nobody answers, and that is not an error")
	}
}
