package command

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"imgbuild/init/boot/upgrades"
	"imgbuild/init/contract/archive"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/dialogue"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/manifest"
	"imgbuild/init/k3s"
	"imgbuild/init/upgrade/install"
	"imgbuild/qemu/fixtures/testbundle"
	"imgbuild/qemu/fixtures/testslot"
)

// A server goes back across a minor version of k3s only with a backup that its system can use: the
// slot is compared with its hashes, the data are staged, the slot is armed and the node reboots.
// Whatever is refused changes nothing.
func TestGoBack(t *testing.T) {
	const now, before = "v1.36.1+k3s1", "v1.35.0+k3s1"
	slot := append(testslot.New(t, testslot.Version{Init: 10, Roles: []string{"server", "worker"}, K3s: &manifest.K3s{Version: before, Source: "embedded"}}), make([]byte, 4<<20)...)
	for _, c := range []struct {
		name   string
		change func(m *machine, data string, h *archive.Header, cfg *config.Config)
		code   fault.Kind
		says   string
	}{
		{"as it should be", func(*machine, string, *archive.Header, *config.Config) {}, 0, ""},
		{"a worker", func(m *machine, _ string, _ *archive.Header, _ *config.Config) { m.facts.Role = "worker" }, fault.Usage, "no datastore"},
		{"a damaged slot", func(m *machine, _ string, _ *archive.Header, _ *config.Config) {
			bad := bytes.Clone(slot)
			bad[(len(bad)-4<<20)/2] ^= 1
			m.write(m.facts.Target, bad)
		}, fault.Device, "no whole system"},
		{"a slot that was begun to be written", func(m *machine, _ string, _ *archive.Header, _ *config.Config) {
			m.write(m.facts.Target, append(make([]byte, 512), slot[512:]...))
		}, fault.Device, "no whole system"},
		{"an empty slot", func(m *machine, _ string, _ *archive.Header, _ *config.Config) {
			m.write(m.facts.Target, make([]byte, len(slot)))
		}, fault.Device, "no whole system"},
		{"another node's backup", func(_ *machine, _ string, h *archive.Header, _ *config.Config) { h.Hostname = "other" }, fault.Input, "one of other"},
		{"a backup from after the upgrade", func(_ *machine, _ string, h *archive.Header, _ *config.Config) { h.K3s = now }, fault.Input, "never moves back"},
		{"another token", func(_ *machine, _ string, _ *archive.Header, cfg *config.Config) {
			cfg.K3OS.Token = "another-token-0123"
		}, fault.Input, "another token"},
		{"no data yet", func(_ *machine, data string, _ *archive.Header, _ *config.Config) { os.RemoveAll(data + "/server") }, fault.Input, "no data yet"},
		{"a trial that waits", func(m *machine, _ string, _ *archive.Header, _ *config.Config) { m.facts.Armed = true; m.armed = true }, fault.Unhealthy, "waits for the next boot"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := bareMachine(t)
			m.facts.Role, m.facts.K3s = "server", now
			m.write(m.facts.Target, slot)
			data := t.TempDir()
			cfg := &config.Config{K3OS: config.K3OS{Token: "a-token-0123456789", K3sArgs: []string{"--data-dir=" + data}}}
			for _, name := range []string{"server/db/state.db", "server/tls/ca.crt"} {
				m.write(filepath.Join(data, name), []byte("now"))
			}
			h := archive.Header{Kind: archive.Backup, Hostname: "node", Role: "server", K3s: before, Created: time.Unix(1, 0), Contents: []string{archive.Datastore}}
			c.change(m, data, &h, cfg)
			file := filepath.Join(t.TempDir(), "node-1.tar.zst")
			err := archive.Create(file, h, func(w *archive.Writer) error {
				for name, text := range map[string]string{"server/db/state.db": "backup", "server/tls/ca.crt": "ca", "server/token": "K10x::server:a-token-0123456789\n"} {
					if err := w.File("k3os/data"+filepath.Join(data, name), archive.Meta{Mode: 0o600, UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}, int64(len(text)), strings.NewReader(text)); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			done, err := goBack(t.Context(), m.place, file, Options{Config: cfg})
			_, gone := os.Lstat(filepath.Join(data, "shelf-datastore.staged"))
			staged := !errors.Is(gone, fs.ErrNotExist)
			state, rerr := m.rec.Read()
			if rerr != nil {
				t.Fatal(rerr)
			}
			if c.code != 0 {
				if fault.Code(err) != int(c.code) || !strings.Contains(err.Error(), c.says) || staged || state.Trial != "" || slices.Contains(m.orders, upgrades.Arm) || slices.Contains(m.orders, "reboot") {
					t.Errorf("got %v, staged %v, record %+v, orders %v; want code %d, %q", err, staged, state, m.orders, c.code, c.says)
				}
				return
			}
			a := m.keeper.Armed()
			if err != nil || done.Result != dialogue.Armed || !done.Reboot || done.Slot != "b" || !staged || state.Trial != "b" || a == nil {
				t.Fatalf("got %+v, %v, staged %v, record %+v, attempt %+v", done, err, staged, state, a)
			}
			if a.Restore == nil || a.Restore.Name != "node-1.tar.zst" || a.Restore.K3s != before || a.K3s != before || a.FromK3s != now || a.Bundle != done.Bundle {
				t.Errorf("attempt %+v, %+v", a, a.Restore)
			}
			if want := []string{upgrades.Facts, upgrades.Arm, "reboot"}; !slices.Equal(m.orders, want) {
				t.Errorf("orders %v, want %v", m.orders, want)
			}
			if text, err := os.ReadFile(filepath.Join(data, "server/db/state.db")); err != nil || string(text) != "now" {
				t.Errorf("the data are %q already, %v, want %q", text, err, "now")
			}
		})
	}
}

// A binary that the other system needs must be there.
func TestGoBackStored(t *testing.T) {
	m := bareMachine(t)
	k := &manifest.K3s{Version: "v1.35.0+k3s1", Source: "firstboot", SHA256: strings.Repeat("0", 64)}
	m.write(m.facts.Target, append(testslot.New(t, testslot.Version{Roles: []string{"server"}, K3s: k}), make([]byte, 4<<20)...))
	m.facts.Role = "server"
	m.write(filepath.Join(m.store, k.Version, "k3s"), []byte("another"))
	if _, err := goBack(t.Context(), m.place, "no", Options{Config: &config.Config{}}); fault.Code(err) != int(fault.Device) || !strings.Contains(err.Error(), "not on this node any more") {
		t.Errorf("got %v", err)
	}
	if err := k3s.Stored(m.store, k); fault.Code(err) != int(fault.Device) {
		t.Errorf("got %v", err)
	}
}

// Held reads what a slot holds, by its own hashes.
func TestHeld(t *testing.T) {
	slot := testslot.New(t, testslot.Version{})
	m, sum, err := install.Held(testbundle.Slot(slot))
	if err != nil || m.Version == "" || len(sum) != 64 {
		t.Fatalf("got %+v, %s, %v", m, sum, err)
	}
	for _, f := range m.Files {
		if f.Size == 0 {
			continue
		}
		bad := bytes.Clone(slot)
		bad[f.Offset+f.Size-1] ^= 1
		if _, _, err := install.Held(testbundle.Slot(bad)); err == nil || !strings.Contains(err.Error(), f.Path) {
			t.Errorf("%s: got %v", f.Path, err)
		}
	}
}
