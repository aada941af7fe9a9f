package online

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"imgbuild/init/base/report"
	"imgbuild/init/contract/config"
	"imgbuild/init/net/clock"
	"imgbuild/init/net/network"
)

// offline is a node without a network card.
func offline(t *testing.T) (o *Online, saved, out *int) {
	t.Helper()
	saved, out = new(int), new(int)
	say := func(string, ...any) {}
	dir := t.TempDir()
	return &Online{
		Net:      network.New(&config.Config{}, "node", filepath.Join(dir, "resolv.conf"), say),
		Clock:    clock.New(time.Unix(1e9, 0), filepath.Join(dir, "clock"), func() [][]string { return nil }, say),
		Reporter: report.Reporter{Console: &report.Console{}, Report: &report.Report{}, Step: "network"},
		Save:     func() { *saved++ }, Out: func() { *out++ }, Drop: func() (bool, error) { return false, nil },
	}, saved, out
}

// A network that does not come up is reported once, when what needs it has waited for it.
func TestComplains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, saved, _ := offline(t)
		ctx, stop := context.WithCancel(t.Context())
		go o.complain(ctx)
		time.Sleep(network.WaitLimit - time.Second)
		synctest.Wait()
		if p := o.Reporter.Report.Problems(); len(p) != 0 || *saved != 0 {
			t.Errorf("early: reported %+v, saved %d times, want length 0 and 0", p, *saved)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if p := o.Reporter.Report.Problems(); len(p) != 1 || !strings.Contains(p[0].What, "no wired network interface") || *saved != 1 {
			t.Errorf("reported %+v, saved %d times, want one problem in a saved report", p, *saved)
		}
		stop()
	})
}

// What needs the network waits for it no longer than its limit, and for the time not at all where
// that is configured.
func TestTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, _, _ := offline(t)
		began := time.Now()
		if err := o.Time(t.Context(), 0); err == nil || time.Since(began) != 0 {
			t.Errorf("a limit of 0: got %v after %v, want an unknown time immediately", err, time.Since(began))
		}
		if err := o.Await(t.Context()); err == nil || time.Since(began) != network.WaitLimit {
			t.Errorf("a network: got %v after %v, want an error after %v", err, time.Since(began), network.WaitLimit)
		}
	})
}

// When there is a way out, k3s starts again with it; a route that cannot be removed is not one.
func TestRoute(t *testing.T) {
	for _, c := range []struct {
		dropped bool
		err     error
		want    int
	}{{true, nil, 1}, {false, nil, 0}, {false, errors.New("no netlink"), 0}} {
		o, _, out := offline(t)
		o.Drop = func() (bool, error) { return c.dropped, c.err }
		ctx, stop := context.WithCancel(t.Context())
		stop()
		o.route(ctx)
		if *out != c.want {
			t.Errorf("%+v: k3s was started %d times, want %d", c, *out, c.want)
		}
	}
}

func TestReport(t *testing.T) {
	o, _, _ := offline(t)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	o.report(ctx)
	if text := string(o.Reporter.Report.Text()); strings.Contains(text, "network") {
		t.Errorf("a node without cards reports a network:\n%s", text)
	}
}
