package auto

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"imgbuild/init/contract/channel"
	"imgbuild/init/contract/k3sstep"
	"imgbuild/init/contract/window"
	"imgbuild/init/status/health"
	"imgbuild/init/upgrade/ledger"
	"imgbuild/init/upgrade/turns"
)

var noon = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

func windowOf(t testing.TB, text string) window.Window {
	t.Helper()
	w, err := window.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// ready are facts that lead to an upgrade.
func ready(t testing.TB) Facts {
	return Facts{
		Now: noon, Synced: true, Auto: true, Window: windowOf(t, "always"), Name: "node1", Locked: true, Version: "v1", Date: 100, Role: "worker", Health: health.Good, Deadline: 300,
		Channel: &channel.System{Version: "v2", Date: 200, Manifest: "m2", K3s: "v1.35.0+k3s1"},
		Step:    &k3sstep.Change{From: "v1.34.1+k3s1", To: "v1.35.0+k3s1", Agent: true, Servers: []string{"v1.35.0+k3s1"}},
		Turn:    &turns.Answer{Granted: true, Until: noon.Add(time.Minute)},
	}
}

func rolledBack(version string, blames ...ledger.Blame) (l ledger.Ledger) {
	for _, b := range blames {
		l.History = append(l.History, ledger.Attempt{System: ledger.System{Version: version, Bundle: "m2"}, Result: ledger.RolledBack, Blame: b, Reason: "unhealthy: k3s", Ended: noon})
	}
	return l
}

func TestDecide(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(f *Facts)
		do     Action
		says   string
	}{
		{"all is as it should be", func(*Facts) {}, Upgrade, "upgrades to v2"},
		{"off", func(f *Facts) { f.Auto = false }, Off, "upgrade.auto"},
		{"without its data", func(f *Facts) { f.Degraded = true }, Refuse, "data partition"},
		{"booting", func(f *Facts) { f.Booting = true }, Wait, "booting"},
		{"on trial", func(f *Facts) { f.Trial = true }, Wait, "on trial"},
		{"armed", func(f *Facts) { f.Armed = true }, Wait, "next boot"},
		{"a clock that nobody confirmed", func(f *Facts) { f.Synced = false }, Wait, "time server"},
		{"no channel", func(f *Facts) { f.Problem = errors.New("the channel is away") }, Wait, "away"},
		{"a channel for others", func(f *Facts) { f.Channel = nil }, Current, "no system for this node"},
		{"nothing new", func(f *Facts) { f.Channel.Version = "v1" }, Current, "v1 is what"},
		{"lower", func(f *Facts) { f.Channel.Date = 99 }, Refuse, "older than v1"},
		{"another build of the same lock", func(f *Facts) { f.Channel.Date = 100 }, Upgrade, ""},
		{"rolled back here", func(f *Facts) { f.Ledger = rolledBack("v2", ledger.Own) }, Refuse, "rolled back here on 2026-11-30: unhealthy: k3s"},
		{"rolled back here under another name", func(f *Facts) { f.Ledger = rolledBack("x", ledger.Own) }, Refuse, "rolled back here"},
		{"once for something from outside", func(f *Facts) { f.Ledger = rolledBack("v2", ledger.External) }, Upgrade, ""},
		{"twice", func(f *Facts) { f.Ledger = rolledBack("v2", ledger.External, ledger.External) }, Refuse, "rolled back here"},
		{"nobody knows for what", func(f *Facts) { f.Ledger = rolledBack("v2", ledger.Open) }, Wait, "not known yet"},
		{"another one was rolled back", func(f *Facts) { f.Ledger = rolledBack("v0", ledger.Own); f.Ledger.History[0].Bundle = "m0" }, Upgrade, ""},
		{"it has worked since", func(f *Facts) {
			f.Ledger = rolledBack("v2", ledger.Own)
			f.Ledger.History = append(f.Ledger.History, ledger.Attempt{System: ledger.System{Version: "v2"}, Result: ledger.Committed})
		}, Upgrade, ""},
		{"stopped by others", func(f *Facts) { f.Stopped = map[string]string{"v2": "w3 rolled it back"} }, Refuse, "w3 rolled it back"},
		{"another one is stopped", func(f *Facts) { f.Stopped = map[string]string{"v0": "w3 rolled it back"} }, Upgrade, ""},
		{"newer than its server", func(f *Facts) { f.Step.Servers = []string{"v1.34.1+k3s1"} }, Refuse, "newer than its server"},
		{"a server that is not known", func(f *Facts) { f.Step.Servers = nil }, Wait, "not known"},
		{"the same, and the minor version stays", func(f *Facts) { f.Step.Servers, f.Step.From = nil, "v1.35.2+k3s1" }, Upgrade, ""},
		{"over a minor version", func(f *Facts) {
			f.Role, f.Step = "server", &k3sstep.Change{From: "v1.33.1+k3s1", To: "v1.35.0+k3s1", Data: true}
		}, Refuse, "more than one minor"},
		{"a minor version back", func(f *Facts) {
			f.Role, f.Step = "server", &k3sstep.Change{From: "v1.36.1+k3s1", To: "v1.35.0+k3s1", Data: true}
		}, Refuse, "never moves back"},
		{"a k3s of the user's", func(f *Facts) {
			f.Role, f.Step = "server", &k3sstep.Change{From: "v1.35.0+k3s1", To: "file-12", Data: true}
		}, Refuse, "upgrade by hand"},
		{"no k3s", func(f *Facts) { f.Step = nil }, Upgrade, ""},
		{"not healthy", func(f *Facts) { f.Health, f.Why = health.Bad, []string{"k3s has failed"} }, Wait, "k3s has failed"},
		{"waiting for something", func(f *Facts) { f.Health = health.Waiting }, Wait, "healthy first"},
		{"starting", func(f *Facts) { f.Health = health.Starting }, Wait, "healthy first"},
		{"not in the window", func(f *Facts) { f.Window = windowOf(t, "02:00-05:00") }, Wait, "Tue 2026-12-01 02:00 UTC"},
		{"the window of another zone", func(f *Facts) {
			f.Window, f.Now = windowOf(t, "02:00-05:00"), noon.In(time.FixedZone("east", 15*3600))
			f.Turn.Until = noon.Add(time.Minute)
		}, Upgrade, ""},
		{"not asked yet", func(f *Facts) { f.Turn = nil }, Ask, "asks"},
		{"not its turn", func(f *Facts) { f.Turn = &turns.Answer{Wait: "w2 upgrades"} }, Wait, "w2 upgrades"},
		{"a turn that is over", func(f *Facts) { f.Turn.Until = noon }, Wait, "over"},
		{"the server is away", func(f *Facts) { f.Away = errors.New("no route") }, Wait, "no route"},
		{"in no cluster", func(f *Facts) { f.Locked, f.Turn = false, nil }, Upgrade, ""},
		{"in no cluster, later by its name", func(f *Facts) {
			f.Locked, f.Turn, f.Window = false, nil, windowOf(t, "12:00-16:00")
		}, Wait, "window opens"},
		{"in no cluster, always", func(f *Facts) {
			f.Locked, f.Turn, f.Issued = false, nil, noon.Add(-Shift(f.Name, f.Window))
		}, Upgrade, ""},
		{"in no cluster, always, a minute before", func(f *Facts) {
			f.Locked, f.Turn, f.Issued = false, nil, noon.Add(time.Minute-Shift(f.Name, f.Window))
		}, Wait, "comes Mon 2026-11-30 12:01 UTC"},
		{"in no cluster, a channel from the future", func(f *Facts) {
			f.Locked, f.Turn, f.Issued = false, nil, noon.Add(time.Minute)
		}, Upgrade, ""},
		{"in a cluster, always", func(f *Facts) { f.Issued = noon }, Upgrade, ""},
	} {
		f := ready(t)
		c.change(&f)
		d := f.Decide()
		if d.Do != c.do || !strings.Contains(d.String(), c.says) || f.Channel != nil && d.Version != f.Channel.Version && c.do != Off {
			t.Errorf("%s: got %+v, want %s, %q", c.name, d, c.do, c.says)
		}
	}
}

// The shift keeps nodes apart that ask nobody, and leaves each half an hour of the window.
func TestShift(t *testing.T) {
	w := windowOf(t, "01:00-05:00")
	seen := map[time.Duration]bool{}
	for i := range 50 {
		s := Shift(fmt.Sprintf("node%d", i), w)
		if s < 0 || s > 3*time.Hour+30*time.Minute {
			t.Errorf("node%d begins %v later", i, s)
		}
		seen[s] = true
	}
	if len(seen) < 25 {
		t.Errorf("50 nodes begin at %d times", len(seen))
	}
	for _, text := range []string{"01:00-01:30", "01:00-01:10"} {
		if s := Shift("node1", windowOf(t, text)); s != 0 {
			t.Errorf("%s: %v later, want 0", text, s)
		}
	}
}

// Whatever is known: an upgrade is never to a lower version, nor to one that was rolled back, nor
// from a system that is not healthy and committed, nor outside of the window, nor without a turn.
func TestDecideAlways(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	yes := func() bool { return r.IntN(8) > 0 }
	done := map[Action]int{}
	for range 200_000 {
		f := ready(t)
		f.Auto, f.Synced, f.Booting, f.Degraded, f.Trial, f.Armed = yes(), yes(), !yes(), !yes(), !yes(), !yes()
		f.Now = noon.Add(time.Duration(r.Int64N(int64(48 * time.Hour))))
		f.Window = windowOf(t, []string{"always", "02:00-23:00", "22:00-04:00"}[r.IntN(3)])
		f.Health = []health.State{health.Good, health.Good, health.Good, health.Bad, health.Waiting, health.Starting}[r.IntN(6)]
		f.Channel.Date, f.Channel.Version = 90+r.Int64N(100), fmt.Sprintf("v%d", 1+r.IntN(3))
		f.Locked = yes()
		f.Ledger = ledger.Ledger{}
		for range r.IntN(3) {
			b := []ledger.Blame{ledger.Own, ledger.External, ledger.Open}[r.IntN(3)]
			f.Ledger.History = append(f.Ledger.History, rolledBack(fmt.Sprintf("v%d", 1+r.IntN(3)), b).History...)
			f.Ledger.History[len(f.Ledger.History)-1].Bundle = "m" + f.Ledger.History[len(f.Ledger.History)-1].Version
		}
		f.Channel.Manifest = "m" + f.Channel.Version
		if !yes() {
			f.Stopped = map[string]string{fmt.Sprintf("v%d", 1+r.IntN(3)): "stopped"}
		}
		if !yes() {
			f.Away = errors.New("away")
		}
		switch r.IntN(4) {
		case 0:
			f.Turn = nil
		case 1:
			f.Turn = &turns.Answer{Wait: "not yet"}
		default:
			f.Turn = &turns.Answer{Granted: true, Until: f.Now.Add(time.Duration(r.Int64N(int64(10*time.Minute))) - time.Minute)}
		}
		f.Step.From = []string{"v1.33.0+k3s1", "v1.34.0+k3s1", "v1.35.0+k3s1", "v1.36.0+k3s1", ""}[r.IntN(5)]
		f.Step.Agent, f.Step.Data = yes(), true
		d := f.Decide()
		done[d.Do]++
		if d.Why == "" {
			t.Fatalf("%s without a word: %+v", d.Do, f)
		}
		if d.Do != Upgrade {
			continue
		}
		bad, external := 0, 0
		for _, a := range f.Ledger.History {
			if a.Version == f.Channel.Version && a.Blame == ledger.External {
				external++
			} else if a.Version == f.Channel.Version {
				bad++
			}
		}
		open, _ := f.Window.Open(f.Now, 0)
		_, err := f.Step.Judge()
		switch {
		case !f.Auto || !f.Synced || f.Booting || f.Degraded || f.Trial || f.Armed || f.Health != health.Good || !open,
			f.Channel.Date < f.Date, f.Channel.Version == f.Version, bad > 0, external > 1, f.Stopped[f.Channel.Version] != "", err != nil,
			f.Locked && (f.Away != nil || f.Turn == nil || !f.Turn.Granted || !f.Now.Before(f.Turn.Until)):
			t.Fatalf("upgrades: %+v, %+v", f, *f.Channel)
		}
	}
	for _, do := range []Action{Off, Current, Refuse, Wait, Ask, Upgrade} {
		if done[do] < 100 {
			t.Errorf("%s only %d times", do, done[do])
		}
	}
}
