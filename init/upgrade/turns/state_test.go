package turns

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// began is long before the requests of a test.
var began = time.Unix(1_800_000_000, 0).UTC()

// cluster is a state, and the time.
type cluster struct {
	State
	now time.Time
}

func newCluster() *cluster { return &cluster{now: began.Add(24 * time.Hour)} }

func (c *cluster) ask(node string, r Request) Answer {
	a, _ := c.Handle(node, r, c.now, began)
	return a
}

func take(role, version string) Request {
	return Request{Do: Take, Role: role, Running: "v1", Version: version, Deadline: 300}
}

// settled is a cluster that has known v2 for long.
func settled() *cluster {
	c := newCluster()
	c.ask("w1", Request{Do: Look, Role: "worker", Running: "v1", Wants: "v2"})
	c.now = c.now.Add(Settle)
	return c
}

// One node at a time; its turn lasts its deadline and ten minutes, is renewed, and ends with its
// commit.
func TestTurn(t *testing.T) {
	c := settled()
	a := c.ask("w1", take("worker", "v2"))
	if want := c.now.Add(300*time.Second + Extra); !a.Granted || !a.Until.Equal(want) {
		t.Fatalf("got %+v, want until %v", a, want)
	}
	if a := c.ask("w2", take("worker", "v2")); a.Granted || !strings.Contains(a.Wait, "w1 upgrades to v2") {
		t.Errorf("two at a time: %+v", a)
	}
	if a := c.ask("w1", take("worker", "v3")); a.Granted || !strings.Contains(a.Wait, "not reported") {
		t.Errorf("another version in the same turn: %+v", a)
	}
	c.now = c.now.Add(10 * time.Minute)
	if a := c.ask("w1", Request{Do: Renew, Role: "worker", Running: "v1", Version: "v2"}); !a.Granted || !a.Until.Equal(c.now.Add(300*time.Second+Extra)) {
		t.Errorf("renewed: %+v", a)
	}
	if a := c.ask("w2", Request{Do: Renew, Role: "worker", Running: "v1", Version: "v2"}); a.Granted {
		t.Errorf("renewed without having it: %+v", a)
	}
	for _, r := range []Request{
		{Do: Committed, Role: "worker", Running: "v1", Version: "v2"}, // it does not run it
		{Do: Committed, Role: "worker", Running: "v3", Version: "v3"}, // of another turn
		{Do: Released, Role: "worker", Running: "v1", Version: "v3"},
	} {
		if c.ask("w1", r); c.Lease == nil {
			t.Fatalf("%+v ends the turn", r)
		}
	}
	if c.ask("w2", Request{Do: Committed, Role: "worker", Running: "v2", Version: "v2"}); c.Lease == nil {
		t.Fatal("another node ends the turn")
	}
	c.ask("w1", Request{Do: Committed, Role: "worker", Running: "v2", Version: "v2"})
	if a := c.ask("w2", take("worker", "v2")); !a.Granted {
		t.Errorf("after the commit: %+v", a)
	}
	c.ask("w2", Request{Do: Released, Role: "worker", Running: "v1", Version: "v2"})
	if a := c.ask("w3", take("worker", "v2")); !a.Granted || len(a.Stopped) != 0 {
		t.Errorf("after one that gave it back: %+v", a)
	}
}

// Servers, then workers, storage, router: who has a node of a lower rank before it that wants to
// upgrade waits, until that one has done it, is silent for long, or may not.
func TestOrder(t *testing.T) {
	roles := []string{"server", "worker", "storage", "router"}
	for first, r1 := range roles {
		for second, r2 := range roles {
			c := newCluster()
			for _, n := range []string{"b", "a"} {
				c.ask(n, Request{Do: Look, Role: map[string]string{"a": r1, "b": r2}[n], Running: "v1", Wants: "v2"})
			}
			c.now = c.now.Add(Settle)
			if a := c.ask("b", take(r2, "v2")); a.Granted != (second <= first) {
				t.Errorf("%s while a %s wants to: %+v", r2, r1, a)
			}
		}
	}
	for name, quiet := range map[string]func(c *cluster){
		"has upgraded": func(c *cluster) { c.ask("s", Request{Do: Look, Role: "server", Running: "v2"}) },
		"is silent": func(c *cluster) {
			c.now = c.now.Add(fresh)
		},
		"may not": func(c *cluster) {
			c.ask("x", Request{Do: RolledBack, Role: "server", Running: "v1", Version: "vs", Blame: Own, At: 1})
		},
	} {
		c := settled()
		c.ask("s", Request{Do: Look, Role: "server", Running: "v1", Wants: "vs"})
		if a := c.ask("w1", take("worker", "v2")); a.Granted || !strings.Contains(a.Wait, "s, a server") {
			t.Errorf("%s: overtakes: %+v", name, a)
		}
		quiet(c)
		if a := c.ask("w1", take("worker", "v2")); !a.Granted {
			t.Errorf("%s: waits all the same: %+v", name, a)
		}
	}
	// A version that is new to the server: a server may take it at once, a worker only when every
	// server has had the time to say that it wants it.
	for role, want := range map[string]bool{"server": true, "worker": false} {
		c := newCluster()
		if a := c.ask("n", take(role, "v2")); a.Granted != want {
			t.Errorf("a %s: %+v, want Granted %v", role, a, want)
		}
		c.Lease = nil
		c.now = c.now.Add(Settle)
		if a := c.ask("n", take(role, "v2")); !a.Granted {
			t.Errorf("a %s, later: %+v", role, a)
		}
	}
}

// What stops a version for all, until people resume it; a newer one is not stopped.
func TestStops(t *testing.T) {
	rolledBack := func(blame string, at int64) Request {
		return Request{Do: RolledBack, Role: "worker", Running: "v1", Version: "v2", Blame: blame, Reason: "unhealthy: k3s", At: at}
	}
	for _, c := range []struct {
		name  string
		do    func(c *cluster)
		stops string
	}{
		{"a rollback", func(c *cluster) { c.ask("w1", rolledBack(Own, 5)) }, "w1 rolled it back: unhealthy: k3s"},
		{"a rollback by hand, without a turn", func(c *cluster) {
			c.ask("w1", Request{Do: Released, Role: "worker", Running: "v1", Version: "v2"})
			c.ask("w9", rolledBack(Own, 5))
		}, "w9 rolled it back"},
		{"one for something from outside", func(c *cluster) { c.ask("w1", rolledBack(External, 5)) }, ""},
		{"the same one, reported twice", func(c *cluster) { c.ask("w1", rolledBack(External, 5)); c.ask("w1", rolledBack(External, 5)) }, ""},
		{"two for something from outside", func(c *cluster) {
			c.ask("w1", rolledBack(External, 5))
			c.ask("w1", take("worker", "v2"))
			c.ask("w1", rolledBack(External, 6))
		}, "twice"},
		{"two on two nodes", func(c *cluster) { c.ask("w1", rolledBack(External, 5)); c.ask("w2", rolledBack(External, 5)) }, "twice, last by w2"},
		{"one that nobody is to blame for yet", func(c *cluster) { c.ask("w1", rolledBack(Open, 5)) }, ""},
		{"a turn that ends without a word", func(c *cluster) { c.now = c.Lease.Until.Add(time.Second) }, "w1 did not report in time"},
		{"one that is not over", func(c *cluster) { c.now = c.Lease.Until }, ""},
		{"one that settles gets its time once more", func(c *cluster) {
			c.now = c.Lease.Until
			c.ask("w1", rolledBack(Open, 5))
			c.now = c.now.Add(14 * time.Minute)
			c.ask("w1", rolledBack(Open, 5))
		}, ""},
		{"and not twice", func(c *cluster) {
			c.now = c.Lease.Until
			c.ask("w1", rolledBack(Open, 5))
			c.now = c.now.Add(14 * time.Minute)
			c.ask("w1", rolledBack(Open, 5))
			c.now = c.now.Add(2 * time.Minute)
		}, "did not report in time"},
		{"a clock that was set back has given it for years", func(c *cluster) { c.Lease.Until = c.now.Add(1000 * time.Hour) }, ""},
	} {
		k := settled()
		if a := k.ask("w1", take("worker", "v2")); !a.Granted {
			t.Fatal(a)
		}
		c.do(k)
		a := k.ask("w3", Request{Do: Look, Role: "worker", Running: "v1"})
		if got := a.Stopped["v2"]; (got == "") != (c.stops == "") || !strings.Contains(got, c.stops) {
			t.Errorf("%s: stopped %q, want %q", c.name, got, c.stops)
		}
		if c.stops == "" {
			continue
		}
		if a := k.ask("w3", take("worker", "v2")); a.Granted {
			t.Errorf("%s: given to another: %+v", c.name, a)
		}
		if a := k.ask("w3", Request{Do: Look, Role: "worker", Running: "v1", Wants: "v3"}); a.Stopped["v3"] != "" {
			t.Errorf("%s: a newer one is stopped: got %q, want %q", c.name, a.Stopped["v3"], "")
		}
		if list := k.Resume(); len(list) != 1 || list[0] != "v2" {
			t.Errorf("%s: resumed %v", c.name, list)
		}
		if a := k.ask("w3", take("worker", "v2")); !a.Granted {
			t.Errorf("%s: resumed, and not given: %+v", c.name, a)
		}
		k.Lease = nil
		if a := k.ask("w1", rolledBack(Own, 5)); a.Stopped["v2"] != "" && strings.HasPrefix(c.stops, "w1 rolled") {
			t.Errorf("%s: the same rollback stops it again", c.name)
		}
	}
}

// A server that was off hears the reports first that could not reach it.
func TestGrace(t *testing.T) {
	c := settled()
	c.ask("w1", take("worker", "v2"))
	back := c.now.Add(5 * time.Hour)
	c.Begin(back)
	if c.Expire(back.Add(Grace-time.Second), back) {
		t.Error("it ended before w1 could report")
	}
	if !c.Expire(back.Add(Grace), back) || c.Versions["v2"].Stopped == "" {
		t.Error("it never ends")
	}
}

// Whatever nodes send in whatever order: one turn at a time, never for a version that is stopped,
// and what is kept stays bounded.
func TestAlways(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 7))
		c := newCluster()
		roles := []string{"server", "worker", "storage", "router", "strange"}
		for range 2000 {
			c.now = c.now.Add(time.Duration(r.Int64N(int64(20 * time.Minute))))
			node := fmt.Sprintf("n%d", r.IntN(6))
			before, stopped := c.Lease, c.stopped()
			q := Request{
				Do: []string{Look, Take, Take, Take, Renew, Committed, RolledBack, Released}[r.IntN(8)], Role: roles[r.IntN(5)], Running: fmt.Sprintf("v%d", r.IntN(4)),
				Version: fmt.Sprintf("v%d", r.IntN(4)), Deadline: r.Int64N(100000), Blame: []string{Open, Own, External}[r.IntN(3)], At: c.now.Unix() - r.Int64N(2),
			}
			if r.IntN(3) > 0 {
				q.Wants = fmt.Sprintf("v%d", r.IntN(100))
			}
			if r.IntN(30) == 0 {
				c.Resume()
				stopped = nil
			}
			a := c.ask(node, q)
			switch {
			case !a.Granted:
			case q.Do == Take && stopped[q.Version] != "":
				t.Fatalf("%d: %s was given to %s, and it is stopped: %s", seed, q.Version, node, stopped[q.Version])
			case c.Lease == nil || c.Lease.Node != node || c.Lease.Version != q.Version:
				t.Fatalf("%d: granted to %s, and the lease is %+v", seed, node, c.Lease)
			case before != nil && before.Node != node && !c.now.After(before.Until):
				t.Fatalf("%d: %s has the turn until %v, and %s got it at %v", seed, before.Node, before.Until, node, c.now)
			case a.Until.Sub(c.now) > maxDeadline+Extra:
				t.Fatalf("%d: for %v", seed, a.Until.Sub(c.now))
			}
		}
		if len(c.Versions) > maxVersions || len(c.Known) > maxVersions || len(c.Nodes) > 6 {
			t.Errorf("%d: %d versions, %d known, %d nodes", seed, len(c.Versions), len(c.Known), len(c.Nodes))
		}
	}
}
