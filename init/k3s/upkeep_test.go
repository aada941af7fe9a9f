package k3s

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"imgbuild/init/contract/config"
)

const day = 24 * time.Hour

func TestDecide(t *testing.T) {
	now := time.Date(2027, 12, 1, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		c             condition
		restart, turn bool
	}{
		"nothing known":                {condition{}, false, false},
		"all is well":                  {condition{synced: true, read: true, ends: now.Add(300 * day), window: true}, false, false},
		"NTP never came, ended":        {condition{ends: now.Add(-day), window: true, untimed: true}, false, false},
		"off for months":               {condition{synced: true, untimed: true, shift: 400 * day, ends: now.Add(-35 * day)}, true, false},
		"a clock that was ahead":       {condition{synced: true, untimed: true, shift: -2 * time.Hour}, true, false},
		"an hour and less":             {condition{synced: true, untimed: true, shift: time.Hour}, false, false},
		"the time was known at start":  {condition{synced: true, shift: 400 * day}, false, false},
		"60 days, at noon":             {condition{synced: true, read: true, ends: now.Add(59 * day)}, false, false},
		"60 days, at night":            {condition{synced: true, read: true, ends: now.Add(59 * day), window: true}, true, true},
		"more than 60 days, at night":  {condition{synced: true, read: true, ends: now.Add(61 * day), window: true}, false, false},
		"14 days, at noon":             {condition{synced: true, read: true, ends: now.Add(13 * day)}, true, true},
		"ended":                        {condition{synced: true, read: true, ends: now.Add(-13 * day)}, true, true},
		"15 days, at noon":             {condition{synced: true, read: true, ends: now.Add(15 * day)}, false, false},
		"started again, not read yet":  {condition{synced: true, ends: now.Add(5 * day)}, false, false},
		"nothing that a start renews":  {condition{synced: true, window: true}, false, false},
		"soon and the clock is unsure": {condition{ends: now.Add(day), window: true}, false, false},
	} {
		c.c.now = now
		if v := decide(c.c); v.restart != c.restart || v.turn != c.turn || v.restart != (v.why != "") {
			t.Errorf("%s: got %+v, want %v, %v", name, v, c.restart, c.turn)
		}
	}
}

func TestInWindow(t *testing.T) {
	for at, want := range map[string]bool{"02:59": false, "03:00": true, "04:59": true, "05:00": false, "15:00": false} {
		now, err := time.Parse(time.RFC3339, "2027-06-01T"+at+":00Z")
		if err != nil {
			t.Fatal(err)
		}
		if got := inWindow(now, ""); got != want {
			t.Errorf("%s UTC: got %v, want %v", at, got, want)
		}
		if got := inWindow(now.Add(-8*time.Hour), "Asia/Shanghai"); got != want {
			t.Errorf("%s in Shanghai: got %v, want %v", at, got, want)
		}
	}
}

func TestShifted(t *testing.T) {
	from := time.Now()
	if d := shifted(from, from.Add(time.Minute)); d != 0 {
		t.Errorf("a minute that passed: %v, want 0", d)
	}
	set := from.Round(0).Add(400 * day) // a moment without a monotonic clock, as after a step
	if d := set.Sub(from.Round(0)); d != 400*day || shifted(from.Round(0), set) != 0 {
		t.Errorf("got %v", d)
	}
}

// issued writes a certificate and returns its end.
func issued(t *testing.T, path string, ends time.Time, ca bool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: ends, IsCA: ca, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	put(t, path, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
}

// A certificate that a start has not renewed is reported, and is no reason for another start.
func TestObserve(t *testing.T) {
	data := t.TempDir()
	now := time.Now().Truncate(time.Second)
	in := func(days int) time.Time { return now.Add(time.Duration(days) * day) }
	issued(t, filepath.Join(data, "server/tls/server-ca.crt"), in(10), true)
	issued(t, filepath.Join(data, "server/tls/client-admin.crt"), in(300), false)
	issued(t, filepath.Join(data, "server/tls/etcd/client.crt"), in(200), false)
	issued(t, filepath.Join(data, "agent/client-kubelet.crt"), in(250), false)
	issued(t, filepath.Join(data, "agent/left-behind.crt"), in(20), false)
	put(t, filepath.Join(data, "agent/broken.crt"), "no certificate")
	u := &Upkeep{p: &preparation{Node: Node{Say: t.Logf}}}
	u.observe(data, 1, now, true)
	if got := u.Soonest(); got.Name != "agent/left-behind.crt" || !got.Ends.Equal(in(20)) {
		t.Errorf("the first to end: got %+v", got)
	}
	if got := u.renewable(); !got.Equal(in(200)) {
		t.Errorf("the first that a restart renews ends %v, want %v", got, in(200))
	}
	// Read once a day: what happens in between is seen the next day, or after a start.
	issued(t, filepath.Join(data, "server/tls/etcd/client.crt"), in(30), false)
	u.observe(data, 1, now.Add(time.Hour), true)
	if got := u.renewable(); !got.Equal(in(200)) {
		t.Errorf("it was read again after an hour: %v", got)
	}
	u.observe(data, 1, now.Add(25*time.Hour), true)
	if got := u.renewable(); !got.Equal(in(30)) {
		t.Errorf("the next day: got %v, want %v", got, in(30))
	}
	// A start with a wrong clock proves nothing about what it has left.
	u.observe(data, 2, now.Add(26*time.Hour), false)
	if got := u.renewable(); !got.Equal(in(20)) {
		t.Errorf("after an untimed start: got %v, want %v", got, in(20))
	}
}

// leaseAPI is the part of the API that keeps one lease.
type leaseAPI struct {
	mu      sync.Mutex
	object  *lease
	version int
}

func (a *leaseAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var in lease
	switch {
	case r.Method == http.MethodGet && a.object == nil:
		http.Error(w, "not found", http.StatusNotFound)
		return
	case r.Method == http.MethodGet:
		_ = json.NewEncoder(w).Encode(a.object)
		return
	case json.NewDecoder(r.Body).Decode(&in) != nil:
		http.Error(w, "bad", http.StatusBadRequest)
		return
	case r.Method == http.MethodPost && a.object != nil, r.Method == http.MethodPut && (a.object == nil || in.Metadata.ResourceVersion != a.object.Metadata.ResourceVersion):
		http.Error(w, "conflict", http.StatusConflict)
		return
	}
	a.version++
	in.Metadata.ResourceVersion = strconv.Itoa(a.version)
	a.object = &in
}

// Of many servers that want to restart one may at a time, until it gives the turn back or is gone
// for too long.
func TestTurn(t *testing.T) {
	api := &leaseAPI{}
	s := httptest.NewServer(api)
	defer s.Close()
	c := cluster{s.Client(), s.URL}
	now := time.Now()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var got []string
	for i := range 8 {
		wg.Go(func() {
			name := "server-" + strconv.Itoa(i)
			mine, err := c.take(t.Context(), name, now)
			if err != nil {
				t.Error(err)
			}
			if mine {
				mu.Lock()
				got = append(got, name)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(got) != 1 {
		t.Fatalf("%v have the turn", got)
	}
	holder := got[0]
	take := func(name string, at time.Time) bool {
		t.Helper()
		mine, err := c.take(t.Context(), name, at)
		if err != nil {
			t.Fatal(err)
		}
		return mine
	}
	if take("another", now.Add(time.Minute)) {
		t.Error("another one took it")
	}
	if !take(holder, now.Add(time.Minute)) {
		t.Error("its holder does not have it any more")
	}
	if err := c.giveBack(t.Context(), "another"); err != nil || take("another", now.Add(2*time.Minute)) {
		t.Errorf("it was given back by another: %v", err)
	}
	if err := c.giveBack(t.Context(), holder); err != nil || !take("another", now.Add(2*time.Minute)) {
		t.Errorf("it was not given back: %v", err)
	}
	if take(holder, now.Add(10*time.Minute)) || !take(holder, now.Add(18*time.Minute)) {
		t.Error("a holder that is gone keeps it for another time than a quarter of an hour")
	}
	if !take("third", now.Add(-400*day)) {
		t.Error("a turn of the future, by a wrong clock, is kept")
	}
	s.Close()
	if _, err := c.take(t.Context(), "x", now); err == nil {
		t.Error("no API is not an error")
	}
}

func TestLabels(t *testing.T) {
	path := filepath.Join(t.TempDir(), "labels")
	cfg := func(labels ...string) *config.Config {
		c := &config.Config{K3OS: config.K3OS{Labels: map[string]string{}}}
		for _, l := range labels {
			c.K3OS.Labels[l] = "x"
		}
		return c
	}
	given := func() []string {
		t.Helper()
		names, err := givenLabels(path)
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	for _, c := range []*config.Config{cfg("disk", "zone"), cfg("zone", "shelf")} {
		if err := noteLabels(path, c); err != nil {
			t.Fatal(err)
		}
	}
	if got := given(); !reflect.DeepEqual(got, []string{"disk", "shelf", "zone"}) {
		t.Errorf("kept %q", got)
	}
	root := t.TempDir()
	if got := staleLabels(given(), cfg("zone"), root); !reflect.DeepEqual(got, []string{"disk", "shelf"}) {
		t.Errorf("stale %q", got)
	}
	// The user's own settings of k3s may give the same ones.
	own := cfg("zone")
	own.K3OS.K3sArgs = []string{"--node-label", "disk=y"}
	put(t, filepath.Join(root, "etc/rancher/k3s/config.yaml"), "node-label: [shelf=1]\n")
	if got := staleLabels(given(), own, root); len(got) != 0 {
		t.Errorf("stale though configured elsewhere: %q", got)
	}
	put(t, path, "half of a fi")
	if _, err := givenLabels(path); err == nil {
		t.Error("a damaged file is not an error")
	}
	if err := noteLabels(path, cfg("zone")); err == nil {
		t.Error("that it was damaged was not reported")
	}
	if got := given(); !reflect.DeepEqual(got, []string{"zone"}) {
		t.Errorf("after that kept %q", got)
	}
}

// The kubelet's own kubeconfig is what labels are taken off with.
func TestDropLabels(t *testing.T) {
	var asked, kind, body string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		asked, kind, body = r.Method+" "+r.URL.Path, r.Header.Get("Content-Type"), string(data)
		if strings.HasSuffix(r.URL.Path, "/unknown") {
			http.Error(w, "no such node", http.StatusNotFound)
		}
	}))
	defer s.Close()
	c := cluster{s.Client(), s.URL}
	if err := dropLabels(t.Context(), c, "shelf-1", []string{"a", "b.c/d"}); err != nil {
		t.Fatal(err)
	}
	if want := `{"metadata":{"labels":{"a":null,"b.c/d":null}}}`; asked != "PATCH /api/v1/nodes/shelf-1" || kind != "application/merge-patch+json" || body != want {
		t.Errorf("got %s, %s, %s", asked, kind, body)
	}
	var status errStatus
	if err := dropLabels(t.Context(), c, "unknown", []string{"a"}); !errors.As(err, &status) || status.code != http.StatusNotFound {
		t.Errorf("got %v", err)
	}
	for name, text := range map[string]string{"no": "", "empty": "kind: Config\n", "broken": "a: ["} {
		data := t.TempDir()
		if name != "no" {
			put(t, filepath.Join(data, "agent/kubelet.kubeconfig"), text)
		}
		if _, err := kubeletOf(data); err == nil {
			t.Errorf("%s kubeconfig is not an error", name)
		}
	}
}

// A start that came before the time was known is noted, and only the first one waits.
func TestUntimed(t *testing.T) {
	var limits []time.Duration
	p := &preparation{Node: Node{Say: func(string, ...any) {}, Time: func(_ context.Context, limit time.Duration) error {
		limits = append(limits, limit)
		return errors.New("nobody answers")
	}}}
	cfg := &config.Config{Time: config.Time{Wait: time.Minute}}
	for range 2 {
		untimed, err := p.awaitTime(t.Context(), cfg, nil)
		if err != nil || !untimed {
			t.Errorf("got %v, %v", untimed, err)
		}
	}
	p.Time = func(context.Context, time.Duration) error { return nil }
	if untimed, err := p.awaitTime(t.Context(), cfg, nil); err != nil || untimed {
		t.Errorf("got %v, %v", untimed, err)
	}
	if !reflect.DeepEqual(limits, []time.Duration{time.Minute, 0}) {
		t.Errorf("waited %v", limits)
	}
}
