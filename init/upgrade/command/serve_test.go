package command

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"aead.dev/minisign"

	"imgbuild/init/boot/record"
	"imgbuild/init/boot/upgrades"
	"imgbuild/init/contract/bootstate"
	"imgbuild/init/contract/bundle"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/dialogue"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/manifest"
	"imgbuild/init/contract/pieces"
	"imgbuild/init/status"
	"imgbuild/init/status/control"
	"imgbuild/init/status/health"
	"imgbuild/init/upgrade/install"
	"imgbuild/init/upgrade/ledger"
	"imgbuild/qemu/fixtures/testbundle"
	"imgbuild/qemu/fixtures/testslot"
)

// machine is a node whose partitions and boot record are files, with PID 1's part in upgrades
// behind a real socket.
type machine struct {
	place
	t      *testing.T
	keeper upgrades.Keeper
	rec    record.Record
	facts  install.Facts
	armed  bool // the facts say so, whatever the record does
	orders []string
	data   []byte // a bundle of another system
	new    []byte // that system
	size   int
	key    minisign.PrivateKey
	status status.Status
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	m := bareMachine(t)
	old := testslot.New(t, testslot.Version{})
	m.new = testslot.New(t, testslot.Version{Init: 10})
	pub, key, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	m.key, m.data = key, testbundle.Make(t, m.new, key, 5)
	h, err := bundle.ParseHeader(m.data[:bundle.HeaderSize])
	if err != nil {
		t.Fatal(err)
	}
	made, err := bundle.ParseManifest(m.data[bundle.HeaderSize:][:h.Manifest])
	if err != nil {
		t.Fatal(err)
	}
	m.size = int(made.Slot.Size)
	cut, err := pieces.Cut(testbundle.Slot(old))
	if err != nil {
		t.Fatal(err)
	}
	text, sum, err := cut.Manifest.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	m.write(filepath.Join(m.system, manifest.Name), text)
	m.write(filepath.Join(m.system, manifest.SumName), sum)
	m.write(m.keys, []byte(pub.String()+"\n"))
	m.write(m.facts.Running, append(old, make([]byte, 4<<20)...))
	m.write(m.facts.Target, make([]byte, m.size+1<<20))
	return m
}

// bareMachine is one without systems and bundles.
func bareMachine(t *testing.T) *machine {
	t.Helper()
	dir, err := os.MkdirTemp("", "node") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	in := func(name string) string { return filepath.Join(dir, name) }
	m := &machine{t: t, place: place{socket: in("s"), lock: in("lock"), keys: in("keys"), system: in("system"), store: in("k3s")}}
	m.write(in("disk"), nil)
	if err := os.Truncate(in("disk"), 16<<20); err != nil {
		t.Fatal(err)
	}
	m.rec.On(in("disk"))
	if err := m.rec.Healthy(bootstate.A); err != nil {
		t.Fatal(err)
	}
	if err := m.keeper.Open(in("ledger.json"), bootstate.A, false, &m.rec, ""); err != nil {
		t.Fatal(err)
	}
	m.facts = install.Facts{Hostname: "node", Family: "rpi64", Arch: "arm64", Role: "worker", Version: "v1", Slot: "a", Running: in("a"), Target: in("b"), Deadline: 300}
	if err := control.Serve(m.socket, m.answer); err != nil {
		t.Fatal(err)
	}
	return m
}

// write writes a file whole.
func (m *machine) write(name string, data []byte) {
	m.t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, data, 0o600)); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) answer(r control.Request, _ bool) (any, error) {
	m.orders = append(m.orders, r.Verb)
	switch r.Verb {
	case upgrades.Facts:
		f := m.facts
		f.Ledger = m.keeper.Ledger()
		state, err := m.rec.Read()
		f.Armed = state.Trial != "" || m.armed
		return f, err
	case upgrades.Forget:
		return nil, m.keeper.Forget(r.Args["slot"])
	case upgrades.Arm:
		var a ledger.Attempt
		if err := json.Unmarshal([]byte(r.Args["attempt"]), &a); err != nil {
			return nil, err
		}
		return nil, m.keeper.Arm(a, health.Verdict{Results: []health.Result{{Check: "sshd", State: health.Good}}}, nil, time.Now())
	case "status":
		return m.status, nil
	case "reboot":
		return nil, nil
	}
	return nil, fault.New(fault.Usage, "", "unknown request %q", r.Verb)
}

// serve runs both ends of a dialogue.
func (m *machine) serve(l dialogue.Laptop) (*dialogue.Done, error, error) {
	upR, upW := io.Pipe()
	downR, downW := io.Pipe()
	node := make(chan error, 1)
	go func() {
		node <- serve(m.t.Context(), m.place, downR, upW, Options{Config: &config.Config{}})
		upW.Close()
	}()
	done, err := l.Serve(m.t.Context(), upR, downW)
	downW.Close()
	upR.Close()
	return done, err, <-node
}

// A laptop upgrades a node: what the node reports and asks, and the slot, record and ledger after
// it.
func TestServe(t *testing.T) {
	m := newMachine(t)
	var hello dialogue.Hello
	var steps []string
	stop := dialogue.StepArm
	l := dialogue.Laptop{
		Hello: func(h dialogue.Hello) error { hello = h; return nil },
		Range: func(_ context.Context, off, n int64) (io.ReadCloser, error) {
			return io.NopCloser(io.NewSectionReader(bytes.NewReader(m.data), off, n)), nil
		},
		Ask: func(step string) error {
			if steps = append(steps, step); step == stop {
				return fault.New(fault.Interrupted, "", "later")
			}
			return nil
		},
	}
	done, err, nerr := m.serve(l)
	if err != nil || nerr != nil || done.Result != dialogue.Stopped || done.Stopped != dialogue.StepArm || done.Copied == 0 {
		t.Fatalf("got %+v, %v, %v", done, err, nerr)
	}
	sum, err := install.RunningSum(m.system)
	if err != nil || hello.Running != hexOf(sum) || hello.Hostname != "node" || hello.Slot != "a" || len(hello.Keys) != 1 || hello.Space != int64(m.size+1<<20) || len(hello.Encoders) == 0 {
		t.Errorf("hello %+v, %v", hello, err)
	}
	got, err := os.ReadFile(m.facts.Target)
	if err != nil || !bytes.Equal(got[:len(m.new)], m.new) {
		t.Errorf("the slot holds something else: %v", err)
	}
	if state, _ := m.rec.Read(); state.Trial != "" {
		t.Errorf("armed without leave: %+v, want Trial %q", state, "")
	}
	stop = ""
	steps, m.orders = nil, nil
	done, err, nerr = m.serve(l)
	if err != nil || nerr != nil || done.Result != dialogue.Armed || !done.Reboot || done.Seconds != 300 || done.Kept == 0 {
		t.Fatalf("got %+v, %v, %v", done, err, nerr)
	}
	if want := []string{dialogue.StepWrite, dialogue.StepArm, dialogue.StepReboot}; !slices.Equal(steps, want) {
		t.Errorf("steps %v, want %v", steps, want)
	}
	if want := []string{upgrades.Facts, upgrades.Arm, "reboot"}; !slices.Equal(m.orders, want) {
		t.Errorf("orders %v, want %v", m.orders, want)
	}
	state, err := m.rec.Read()
	if a := m.keeper.Armed(); err != nil || state.Trial != "b" || a == nil || a.Source != "ssh" || a.From != "v1" || a.Floor != 5 || a.Bundle != done.Bundle || !slices.Equal(a.Before, []string{"sshd"}) {
		t.Errorf("record %+v, attempt %+v, %v", state, a, err)
	}
}

// What the node refuses reaches the laptop with its kind; so does another upgrade at the same time.
func TestServeRefuses(t *testing.T) {
	m := newMachine(t)
	bad := bytes.Clone(m.data)
	bad[bundle.HeaderSize+30] ^= 1
	l := dialogue.Laptop{Range: func(_ context.Context, off, n int64) (io.ReadCloser, error) {
		return io.NopCloser(io.NewSectionReader(bytes.NewReader(bad), off, n)), nil
	}}
	_, err, nerr := m.serve(l)
	if fault.Code(err) != int(fault.Verify) || fault.Code(nerr) != int(fault.Verify) {
		t.Errorf("got %v, %v", err, nerr)
	}
	if slices.Contains(m.orders, upgrades.Forget) {
		t.Errorf("orders %v", m.orders)
	}
	unlock, err := lock(m.lock)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	if _, err, _ = m.serve(l); fault.Code(err) != int(fault.Unhealthy) || !strings.Contains(err.Error(), "under way") {
		t.Errorf("got %v", err)
	}
}
