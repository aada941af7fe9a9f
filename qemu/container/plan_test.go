package container

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"aead.dev/minisign"

	"imgbuild/init/boot/upgrades"
	format "imgbuild/init/contract/bundle"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/manifest"
	"imgbuild/init/contract/pieces"
	"imgbuild/init/status/control"
	"imgbuild/init/upgrade/install"
	"imgbuild/init/upgrade/keys"
	"imgbuild/init/upgrade/ledger"
	"imgbuild/init/upgrade/plan"
	"imgbuild/qemu/fixtures/testbundle"
	"imgbuild/qemu/fixtures/testslot"
)

// node is a directory that looks like the root of a node, with the node's own shelf, and PID 1's
// part behind its socket.
type node struct {
	t    *testing.T
	root string
	seen chan string // orders, except questions

	mu     sync.Mutex
	facts  install.Facts
	armed  *ledger.Attempt
	orders []string
}

func (n *node) answer(r control.Request, _ bool) (any, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if r.Verb == upgrades.Facts {
		return n.facts, nil
	}
	n.orders = append(n.orders, r.Verb)
	defer func() { n.seen <- r.Verb }()
	switch r.Verb {
	case upgrades.Arm:
		a := &ledger.Attempt{}
		if err := json.Unmarshal([]byte(r.Args["attempt"]), a); err != nil {
			return nil, err
		}
		n.armed, n.facts.Armed, n.facts.Ledger.Attempt = a, true, a
		return nil, nil
	case upgrades.Forget, "reboot":
		return nil, nil
	}
	return nil, fault.New(fault.Usage, "", "unknown request %q", r.Verb)
}

// change changes the facts and forgets the orders.
func (n *node) change(do func(f *install.Facts)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.orders = nil
	do(&n.facts)
}

// wait waits for an order.
func (n *node) wait(ctx context.Context, verb string) {
	n.t.Helper()
	for {
		select {
		case got := <-n.seen:
			if got == verb {
				return
			}
		case <-ctx.Done():
			n.t.Fatalf("%s was not ordered", verb)
		}
	}
}

func (n *node) ordered() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.orders)
}

func (n *node) write(name string, data []byte, mode os.FileMode) {
	n.t.Helper()
	name = filepath.Join(n.root, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, data, mode)); err != nil {
		n.t.Fatal(err)
	}
}

// runs makes a slot the running one.
func (n *node) runs(slot []byte) string {
	n.t.Helper()
	cut, err := pieces.Cut(testbundle.Slot(slot))
	if err != nil {
		n.t.Fatal(err)
	}
	text, sum, err := cut.Manifest.Marshal()
	if err != nil {
		n.t.Fatal(err)
	}
	n.write(install.SystemDir+"/"+manifest.Name, text, 0o644)
	n.write(install.SystemDir+"/"+manifest.SumName, sum, 0o644)
	h := sha256.Sum256(text)
	return hex.EncodeToString(h[:])
}

// build builds the program of the node for this machine.
func build(t *testing.T) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "shelf")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", file, "imgbuild/cmd/shelf")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestPlan runs the container of a Plan through the life of an upgrade: it writes and arms the slot
// and never ends before the reboot; interrupted then, it goes on; in the trial it waits, and ends
// with 0 at the commit; it ends with 1 where the system was rolled back.
func TestPlan(t *testing.T) {
	dir, err := os.MkdirTemp("", "plan") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	old, slot := testslot.New(t, testslot.Version{}), testslot.New(t, testslot.Version{Init: 10})
	pub, key, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "new.upgrade")
	data := testbundle.Make(t, slot, key, 1)
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	h, err := format.ParseHeader(data[:format.HeaderSize])
	if err != nil {
		t.Fatal(err)
	}
	m, err := format.ParseManifest(data[format.HeaderSize:][:h.Manifest])
	if err != nil {
		t.Fatal(err)
	}
	program := build(t)
	c := pull(t, file, filepath.Join(dir, "c"), program)
	if got := strings.Join(append(slices.Clone(c.config.Entrypoint), c.config.Cmd...), " "); got != "/usr/bin/shelf upgrade --plan" {
		t.Errorf("the entry point is %q", got)
	}

	n := &node{t: t, root: filepath.Join(c.root, plan.HostDir), seen: make(chan string, 100)}
	n.write("/usr/bin/shelf", program, 0o755)
	n.write("/run/shelf/x", nil, 0o600)
	n.write(keys.Path, []byte(pub.String()+"\n"), 0o600)
	n.write("/disk/a", append(slices.Clone(old), make([]byte, 4<<20)...), 0o600)
	n.write("/disk/b", make([]byte, m.Slot.Size+1<<20), 0o600)
	oldSum := n.runs(old)
	n.facts = install.Facts{Hostname: "node", Family: m.Family, Arch: m.Arch, Role: m.Roles[0], Version: "before", Slot: "a", Running: "/disk/a", Target: "/disk/b", Deadline: 300}

	if code, text := c.start(t).code(t, ctx); code != int(fault.Usage) || !strings.Contains(text, "not the root of a node") {
		t.Errorf("without a node: got %d, %s", code, text)
	}
	if err := control.Serve(filepath.Join(n.root, control.Socket), n.answer); err != nil {
		t.Fatal(err)
	}
	if code, text := c.start(t, "--version").code(t, ctx); code != 0 || !strings.Contains(text, "shelf") {
		t.Errorf("--version: got %d, %s", code, text)
	}
	n.change(func(f *install.Facts) { f.Family = "odroid" })
	if code, text := c.start(t).code(t, ctx); code != int(fault.Input) || !strings.Contains(text, "one for family "+m.Family) {
		t.Errorf("another family: got %d, %s", code, text)
	}
	n.change(func(f *install.Facts) { f.Family, f.Degraded = m.Family, true })
	if code, text := c.start(t).code(t, ctx); code != int(fault.Device) || len(n.ordered()) != 0 {
		t.Errorf("a degraded node: got %d, %s, orders %v", code, text, n.ordered())
	}
	n.change(func(f *install.Facts) { f.Degraded = false })

	r := c.start(t)
	n.wait(ctx, "reboot")
	r.prints(t, ctx, "reboots into it now")
	r.runs(t)
	got, err := os.ReadFile(filepath.Join(n.root, "disk/b"))
	if err != nil || !bytes.Equal(got[:m.Slot.Size], pad(slot, int(m.Slot.Size))) {
		t.Errorf("the slot is not what the bundle holds (%v)", err)
	}
	if a := n.armed; a == nil || a.Source != "plan" || a.Bundle != m.Slot.Manifest || a.Slot != "b" {
		t.Errorf("armed is %+v", a)
	}
	if want := []string{upgrades.Forget, upgrades.Arm, "reboot"}; !slices.Equal(n.ordered(), want) {
		t.Errorf("orders %v, want %v", n.ordered(), want)
	}
	if err := r.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	r.runs(t)
	r.kill()

	n.change(func(*install.Facts) {})
	r = c.start(t)
	n.wait(ctx, "reboot")
	r.prints(t, ctx, "reboots into it now")
	if want := []string{"reboot"}; !slices.Equal(n.ordered(), want) {
		t.Errorf("armed already: orders %v, want %v", n.ordered(), want)
	}
	r.kill()

	// After the reboot.
	if sum := n.runs(slot); sum != m.Slot.Manifest {
		t.Errorf("the new system is %s, want %s", sum, m.Slot.Manifest)
	}
	n.change(func(f *install.Facts) {
		f.Slot, f.Running, f.Target, f.Armed, f.Trial, f.Version, f.Booting = "b", "/disk/b", "/disk/a", false, true, m.Version, true
	})
	r = c.start(t)
	r.prints(t, ctx, "the node is still booting")
	n.change(func(f *install.Facts) { f.Booting = false })
	r.prints(t, ctx, "is on trial")
	r.runs(t)
	if err := r.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if code, text := r.code(t, ctx); code != int(fault.Interrupted) {
		t.Errorf("interrupted in the trial: got %d, %s", code, text)
	}
	r = c.start(t)
	r.prints(t, ctx, "is on trial")
	n.change(func(f *install.Facts) {
		a := *f.Ledger.Attempt
		a.Result = ledger.Committed
		f.Trial, f.Ledger.Attempt, f.Ledger.History = false, nil, []ledger.Attempt{a}
	})
	if code, text := r.code(t, ctx); code != 0 || !strings.Contains(text, "is committed") {
		t.Errorf("committed: got %d, %s", code, text)
	}
	for range 2 {
		if code, text := c.start(t).code(t, ctx); code != 0 || len(n.ordered()) != 0 {
			t.Errorf("again: got %d, %s, orders %v", code, text, n.ordered())
		}
	}

	// Rolled back.
	if n.runs(old) != oldSum {
		t.Error("the old system has another name now")
	}
	n.change(func(f *install.Facts) {
		f.Slot, f.Running, f.Target, f.Version = "a", "/disk/a", "/disk/b", "before"
		f.Ledger.History[0].Result, f.Ledger.History[0].Reason, f.Ledger.History[0].Blame = ledger.RolledBack, "k3s was never ready", ledger.Own
	})
	for range 2 {
		if code, text := c.start(t).code(t, ctx); code != 1 || !strings.Contains(text, "k3s was never ready") || len(n.ordered()) != 0 {
			t.Errorf("rolled back: got %d, %s, orders %v", code, text, n.ordered())
		}
	}
}

func pad(b []byte, n int) []byte { return append(slices.Clone(b), make([]byte, max(0, n-len(b)))...) }
