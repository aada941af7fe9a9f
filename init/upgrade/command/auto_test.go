package command

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"imgbuild/init/boot/upgrades"
	"imgbuild/init/contract/bundle"
	"imgbuild/init/contract/channel"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/manifest"
	"imgbuild/init/status"
	"imgbuild/init/status/health"
	"imgbuild/init/upgrade/auto"
	"imgbuild/init/upgrade/source"
)

func TestLocked(t *testing.T) {
	for _, c := range []struct {
		role, lock, url string
		auto            bool
		locked, keeps   bool
	}{
		{"server", "", "", true, true, true},
		{"server", "", "", false, true, false},
		{"server", "cluster", "", false, true, true}, // for the others
		{"server", "none", "", true, false, false},
		{"server", "", "https://one:6443", true, true, false},
		{"worker", "", "https://one:6443", true, true, false},
		{"worker", "none", "https://one:6443", true, false, false},
		{"storage", "", "", true, false, false},
		{"router", "", "", true, false, false},
	} {
		cfg := &config.Config{K3OS: config.K3OS{ServerURL: c.url}, Upgrade: config.Upgrade{Lock: c.lock, Auto: c.auto}}
		if locked, keeps := Locked(cfg, c.role), Keeps(cfg, c.role); locked != c.locked || keeps != c.keeps || (len(TurnsUnits(cfg, c.role)) > 0) != c.keeps {
			t.Errorf("%+v: locked %v, keeps %v", c, locked, keeps)
		}
	}
}

// A node finds the channel, and the bundle that it names, on a web server: it installs that one and
// reboots, and nothing else.
func TestAuto(t *testing.T) {
	m := newMachine(t)
	dir := t.TempDir()
	for _, d := range []string{"shelf", "elsewhere"} {
		m.write(filepath.Join(dir, d, "new.upgrade"), m.data)
	}
	key := m.key
	file := filepath.Join(dir, "shelf", "shelf.channel")
	const issued = 1_795_996_740 // 2026-11-29 23:59 UTC
	m.publish(file, issued)
	var asked []string
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path)
		http.FileServer(http.Dir(dir)).ServeHTTP(w, r)
	}))
	defer web.Close()
	text, err := os.ReadFile(filepath.Join(m.system, manifest.Name))
	if err != nil {
		t.Fatal(err)
	}
	var old manifest.Manifest
	if err := json.Unmarshal(text, &old); err != nil {
		t.Fatal(err)
	}
	m.facts.Family, m.facts.Arch, m.facts.Role, m.facts.Synced, m.facts.Version = old.Family, old.Arch, old.Roles[0], true, "of before"
	m.status = status.Status{Health: health.Good, LockDate: time.Unix(old.Date, 0)}
	// A node that asks nobody begins later in its window, each by its name, with half an hour left.
	clock := time.Date(2026, 12, 1, 23, 45, 0, 0, time.UTC)
	a := automatic{place: m.place, memory: filepath.Join(dir, "auto.json"), now: func() time.Time { return clock }}
	look := func(u config.Upgrade) (auto.Decision, error) {
		t.Helper()
		asked, m.orders = nil, nil
		u.Lock = "none"
		a.o = Options{Config: &config.Config{Upgrade: u}}
		n, err := a.node()
		if err != nil {
			t.Fatal(err)
		}
		return n.Look(t.Context())
	}
	// The k3s that runs is no step, also as a file of the user's.
	m.facts.Role, m.facts.K3s = "server", "file-12345678"
	a.o.Config = &config.Config{}
	n, err := a.node()
	if err != nil || n.Step(t.Context(), "file-12345678") != nil {
		t.Errorf("the k3s that runs is a step: %v", err)
	}
	if c := n.Step(t.Context(), "file-87654321"); c == nil || c.From != "file-12345678" {
		t.Errorf("another k3s: got %+v", c)
	}
	m.facts.Role, m.facts.K3s = old.Roles[0], ""
	address := web.URL + "/shelf/shelf.channel"
	if d, err := look(config.Upgrade{Channel: address, Window: "always"}); err != nil || d.Do != auto.Off || len(asked) != 0 {
		t.Errorf("off: got %+v, %v, asked %v", d, err, asked)
	}
	if d, err := look(config.Upgrade{Auto: true, Channel: address + "x", Window: "always"}); err != nil || d.Do != auto.Wait || !strings.Contains(d.Why, "404") {
		t.Errorf("another channel: got %+v, %v", d, err)
	}
	// A bundle that is not what the channel names is refused before anything is written.
	other := filepath.Join(dir, "wrong", "shelf.channel")
	wrong := strings.Replace(string(read(t, file)), m.manifest().Slot.Manifest, strings.Repeat("5", 64), 1)
	m.write(other, []byte(wrong))
	m.write(other+channel.Suffix, bundle.Sign(key, []byte(wrong), "channel"))
	if d, err := look(config.Upgrade{Auto: true, Channel: web.URL + "/wrong/shelf.channel", Source: web.URL + "/shelf", Window: "always"}); fault.Code(err) != int(fault.Verify) || d.Do != auto.Upgrade || slices.Contains(m.orders, upgrades.Forget) {
		t.Errorf("another bundle: got %+v, %v, orders %v", d, err, m.orders)
	}
	if mem, err := auto.Load(a.memory); err != nil || !strings.Contains(mem.Failed, "not what the channel names") {
		t.Errorf("kept %+v, %v", mem, err)
	}
	clock = clock.Add(-24 * time.Hour).Truncate(24 * time.Hour)
	if d, err := look(config.Upgrade{Auto: true, Channel: address, Window: "always"}); err != nil || d.Do != auto.Wait || !strings.Contains(d.Why, "begin one after the other") {
		t.Errorf("just after the channel was made: got %+v, %v", d, err)
	}
	clock = clock.Add(47 * time.Hour)
	d, err := look(config.Upgrade{Auto: true, Channel: address, Source: web.URL + "/elsewhere/", Window: "always"})
	if err != nil || d.Do != auto.Upgrade || !slices.Contains(asked, "/elsewhere/new.upgrade") || slices.Contains(asked, "/shelf/new.upgrade") || m.orders[len(m.orders)-1] != "reboot" {
		t.Fatalf("got %+v, %v, asked %v, orders %v", d, err, asked, m.orders)
	}
	armed := m.keeper.Armed()
	if state, err := m.rec.Read(); err != nil || state.Trial != "b" || armed == nil || armed.Source != source.FromAuto {
		t.Errorf("record %+v, %v, attempt %+v", state, err, armed)
	}
	if mem, err := auto.Load(a.memory); err != nil || mem.Failed != "" || mem.Issued != issued || mem.Decision.Do != auto.Upgrade {
		t.Errorf("kept %+v, %v", mem, err)
	}
	if d, err := look(config.Upgrade{Auto: true, Channel: address, Window: "always"}); err != nil || d.Do != auto.Wait || !strings.Contains(d.Why, "next boot") {
		t.Errorf("armed: got %+v, %v", d, err)
	}
	// A channel from before the newest one that was seen.
	m.publish(file, 1_700_000_000)
	if err := m.keeper.Withdraw("by hand"); err != nil {
		t.Fatal(err)
	}
	if d, err := look(config.Upgrade{Auto: true, Channel: address, Window: "always"}); err != nil || d.Do != auto.Wait || !strings.Contains(d.Why, "newer one was seen") {
		t.Errorf("an older channel: got %+v, %v", d, err)
	}
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// manifest is that of the machine's bundle.
func (m *machine) manifest() *bundle.Manifest {
	m.t.Helper()
	h, err := bundle.ParseHeader(m.data[:bundle.HeaderSize])
	if err != nil {
		m.t.Fatal(err)
	}
	made, err := bundle.ParseManifest(m.data[bundle.HeaderSize:][:h.Manifest])
	if err != nil {
		m.t.Fatal(err)
	}
	return made
}

// publish writes a channel that names the machine's bundle, as imgbuild does.
func (m *machine) publish(file string, issued int64) {
	m.t.Helper()
	c := channel.Channel{Format: channel.Format, Issued: issued, Systems: []channel.System{channel.Of(m.manifest(), "new.upgrade")}}
	text, err := c.Marshal()
	if err != nil {
		m.t.Fatal(err)
	}
	m.write(file, text)
	m.write(file+channel.Suffix, bundle.Sign(m.key, text, "channel"))
}

func TestBundleAddress(t *testing.T) {
	for _, c := range []struct{ channel, source, want string }{
		{"https://nas.lan/shelf/shelf.channel", "", "https://nas.lan/shelf/new.upgrade"},
		{"https://nas.lan/shelf.channel", "", "https://nas.lan/new.upgrade"},
		{"https://nas.lan/shelf.channel", "http://other/b/", "http://other/b/new.upgrade"},
		{"https://nas.lan/shelf.channel", "http://other", "http://other/new.upgrade"},
	} {
		got, err := bundleAddress(&config.Config{Upgrade: config.Upgrade{Channel: c.channel, Source: c.source}}, channel.System{Bundle: "new.upgrade"})
		if err != nil || got != c.want {
			t.Errorf("%+v: got %s, %v", c, got, err)
		}
	}
}
