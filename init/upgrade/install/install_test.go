package install_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"aead.dev/minisign"

	"imgbuild/init/contract/bundle"
	"imgbuild/init/contract/dialogue"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/manifest"
	"imgbuild/init/upgrade/install"
	"imgbuild/init/upgrade/ledger"
	"imgbuild/init/upgrade/slot"
	"imgbuild/init/upgrade/source"
	"imgbuild/qemu/fixtures/testbundle"
	"imgbuild/qemu/fixtures/testslot"
)

// made is one upgrade, made once: two slots, and the signed bundle of the new one with a delta.
type made struct {
	old, new []byte
	oldSum   [32]byte
	pub      minisign.PublicKey
	key      minisign.PrivateKey
	data     []byte
	header   bundle.Header
	manifest *bundle.Manifest
}

var once = sync.OnceValues(func() (*made, error) { return nil, errors.New("not made") })

func upgrade(t *testing.T) *made {
	t.Helper()
	if m, err := once(); err == nil {
		return m
	}
	m := &made{old: testslot.New(t, testslot.Version{}), new: testslot.New(t, testslot.Version{Kernel: 40, Init: 10, Lib: 25, Extra: true})}
	var err error
	if m.pub, m.key, err = minisign.GenerateKey(rand.Reader); err != nil {
		t.Fatal(err)
	}
	m.data, m.oldSum = m.bundle(t, m.new, true), testbundle.Sum(t, m.old)
	if m.header, err = bundle.ParseHeader(m.data[:bundle.HeaderSize]); err != nil {
		t.Fatal(err)
	}
	if m.manifest, err = bundle.ParseManifest(m.data[bundle.HeaderSize:][:m.header.Manifest]); err != nil {
		t.Fatal(err)
	}
	once = func() (*made, error) { return m, nil }
	return m
}

func (m *made) bundle(t *testing.T, data []byte, withDelta bool) []byte {
	t.Helper()
	var old []testbundle.Slot
	if withDelta {
		old = append(old, m.old)
	}
	return testbundle.Make(t, data, m.key, 7, old...)
}

// device is a partition whose cache reaches the medium with a flush. Bytes that were never written
// are 0xaa.
type device struct {
	cache, medium []byte
	writes        int
	fail          int // the number of the write that fails, and all after it; 0 for none
}

var errPower = errors.New("no more power")

func newDevice(size int64) *device {
	d := &device{medium: bytes.Repeat([]byte{0xaa}, int(size))}
	d.cache = bytes.Clone(d.medium)
	return d
}

func (d *device) ReadAt(p []byte, off int64) (int, error) { return copy(p, d.cache[off:]), nil }
func (d *device) Direct() io.ReaderAt                     { return bytes.NewReader(d.medium) }
func (d *device) Flush() error                            { copy(d.medium, d.cache); return nil }

func (d *device) WriteAt(p []byte, off int64) (int, error) {
	if d.writes++; d.fail > 0 && d.writes >= d.fail {
		return 0, errPower
	}
	return copy(d.cache[off:], p), nil
}

// loads reports whether U-Boot could find a file system in the slot.
func (d *device) loads() bool { return !bytes.Equal(d.medium[:slot.Sector], make([]byte, slot.Sector)) }

// memory is a bundle in memory as a source.
type memory struct {
	data []byte
	k3s  []byte
}

func (m memory) Range(_ context.Context, off, n int64) (io.ReadCloser, error) {
	if off > int64(len(m.data)) {
		return nil, io.ErrUnexpectedEOF
	}
	return io.NopCloser(io.LimitReader(bytes.NewReader(m.data[off:]), n)), nil
}

func (m memory) K3s(context.Context, *manifest.K3s, string) (io.ReadCloser, int64, error) {
	return io.NopCloser(bytes.NewReader(m.k3s)), int64(len(m.k3s)), nil
}

func (memory) Close() error { return nil }

// node is a machine that runs slot a and gives orders to nobody.
type node struct {
	*install.Job
	d     *device
	did   []string
	armed *ledger.Attempt
	notes []string
}

func (m *made) node(src source.Source) *node {
	n := &node{d: newDevice(m.manifest.Slot.Size + 1<<20)}
	n.Job = &install.Job{
		Source: src, Kind: source.FromFile, Keys: bundle.Keys{m.pub}, Target: n.d, Space: int64(len(n.d.medium)), Old: testbundle.Slot(m.old), OldSum: m.oldSum,
		Facts: install.Facts{Family: "rpi64", Arch: "arm64", Role: "worker", Version: "v1", Slot: "a", Running: "a", Target: "b", Deadline: 300},
		Orders: install.Orders{
			Forget: func(slot string) error { n.did = append(n.did, "forget "+slot); return nil },
			Arm:    func(a ledger.Attempt) error { n.did, n.armed = append(n.did, "arm "+a.Slot), &a; return nil },
			Reboot: func() error { n.did = append(n.did, "reboot"); return nil },
		},
		Note: func(s string) { n.notes = append(n.notes, s) },
	}
	return n
}

// whole reports whether the slot is the bundle's, and nothing behind it was written.
func (n *node) whole(m *made) bool {
	size := int(m.manifest.Slot.Size)
	want := make([]byte, size)
	copy(want, m.new)
	return bytes.Equal(n.d.medium[:size], want) && bytes.Count(n.d.medium[size:], []byte{0xaa}) == len(n.d.medium)-size
}

func (n *node) orders() string { return strings.Join(n.did, ", ") }

func TestInstall(t *testing.T) {
	m := upgrade(t)
	n := m.node(memory{data: m.data})
	var phases []string
	n.Progress = func(p dialogue.Progress) {
		if !slices.Contains(phases, p.Phase) {
			phases = append(phases, p.Phase)
		}
	}
	done, err := n.Run(t.Context())
	if err != nil || done.Result != dialogue.Armed || !done.Reboot || done.Patched == 0 || done.Bundle != m.manifest.Slot.Manifest || done.Slot != "b" || done.Seconds != 300 {
		t.Fatalf("got %+v, %v", done, err)
	}
	if got := n.orders(); got != "forget b, arm b, reboot" || !n.whole(m) {
		t.Errorf("orders %s, whole %v", got, n.whole(m))
	}
	if n.armed.Floor != 7 || n.armed.From != "v1" || n.armed.Bundle != done.Bundle || n.armed.Source != source.FromFile {
		t.Errorf("armed %+v", n.armed)
	}
	if got := strings.Join(phases, ", "); got != "write, read back" {
		t.Errorf("phases %s", got)
	}
	// Once more: nothing is written, it is only armed.
	n.did, n.d.writes = nil, 0
	done, err = n.Run(t.Context())
	if err != nil || done.Result != dialogue.Armed || done.Kept != m.manifest.Slot.Size || n.d.writes != 0 || n.orders() != "arm b, reboot" {
		t.Errorf("again: %+v, %v, %d writes, %s", done, err, n.d.writes, n.orders())
	}
	// A bit of it has changed on the medium since: it is written again.
	n.did = nil
	n.d.medium[5000] ^= 1
	n.d.cache[5000] ^= 1
	if _, err = n.Run(t.Context()); err != nil || n.orders() != "forget b, arm b, reboot" || !n.whole(m) {
		t.Errorf("damaged: %v, %s", err, n.orders())
	}
	// It runs already.
	n = m.node(memory{data: m.data})
	n.OldSum = m.manifest.SlotSum()
	if done, err := n.Run(t.Context()); err != nil || done.Result != dialogue.Same || done.Slot != "a" || n.d.writes != 0 || n.did != nil {
		t.Errorf("running: %+v, %v, %s", done, err, n.orders())
	}
	// It is armed already.
	n = m.node(memory{data: m.data})
	n.Facts.Armed, n.Facts.Ledger.Attempt = true, &ledger.Attempt{System: ledger.System{Bundle: m.manifest.Slot.Manifest}}
	if done, err := n.Run(t.Context()); err != nil || done.Result != dialogue.Armed || n.d.writes != 0 || n.orders() != "reboot" {
		t.Errorf("armed: %+v, %v, %s", done, err, n.orders())
	}
}

// A stream that is read once gives the same slot; a bundle without a delta for the slot that runs
// as well.
func TestStream(t *testing.T) {
	m := upgrade(t)
	for name, data := range map[string][]byte{"with a delta": m.data, "without": m.bundle(t, m.new, false)} {
		n := m.node(source.NewStream(bytes.NewReader(data)))
		if done, err := n.Run(t.Context()); err != nil || !n.whole(m) {
			t.Errorf("%s: %+v, %v", name, done, err)
		}
	}
}

// The other end may stop an upgrade at each step, and go on with it later.
func TestSteps(t *testing.T) {
	m := upgrade(t)
	n := m.node(memory{data: m.data})
	for _, c := range []struct{ at, result, orders string }{
		{dialogue.StepWrite, dialogue.Stopped, ""}, {dialogue.StepArm, dialogue.Stopped, "forget b"}, {dialogue.StepReboot, dialogue.Armed, "arm b"},
	} {
		n.did = nil
		n.Ask = func(_ context.Context, step string) error {
			if step == c.at {
				return fault.New(fault.Interrupted, "", "not now")
			}
			return nil
		}
		done, err := n.Run(t.Context())
		if err != nil || done.Stopped != c.at || done.Result != c.result || done.Reboot || n.orders() != c.orders {
			t.Errorf("%s: %+v, %v, %s", c.at, done, err, n.orders())
		}
	}
	n.Ask = func(context.Context, string) error { return fault.New(fault.Network, "", "gone") }
	if _, err := n.Run(t.Context()); fault.Code(err) != int(fault.Network) {
		t.Errorf("got %v", err)
	}
}

// refused runs a bundle that must be refused before anything is written.
func (n *node) refused(t *testing.T, what string, data []byte, kinds ...fault.Kind) {
	t.Helper()
	n.Source = memory{data: data}
	_, err := n.Run(t.Context())
	if !slices.Contains(kinds, fault.Kind(fault.Code(err))) && !(errors.Is(err, io.ErrUnexpectedEOF) && len(kinds) > 1) || n.d.writes != 0 || n.did != nil {
		t.Fatalf("%s: got %v, %d writes, orders %s", what, err, n.d.writes, n.orders())
	}
}

// Every byte of header, manifest, signature and index that changes, and every end before theirs,
// is refused with nothing written and the boot record as it was.
func TestTampered(t *testing.T) {
	m := upgrade(t)
	head := int(bundle.HeaderSize + m.header.Manifest + m.header.Signature + m.header.Index)
	bad, n := bytes.Clone(m.data), m.node(nil)
	for at := range head {
		for _, flip := range []byte{1, 0x80} {
			bad[at] ^= flip
			n.refused(t, fmt.Sprintf("byte %d of %d ^ %#x", at, head, flip), bad, fault.Verify, fault.Input)
			bad[at] ^= flip
		}
	}
	for at := range head {
		n.refused(t, fmt.Sprintf("cut at %d of %d", at, head), m.data[:at], fault.Verify, fault.Input)
	}
	// Signed by a key that nobody trusts, and on a node that trusts nobody.
	_, other, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key := m.key
	m.key = other
	unsigned := m.bundle(t, m.new, false)
	m.key = key
	n.refused(t, "another key", unsigned, fault.Verify)
	n = m.node(memory{data: m.data})
	n.Keys = nil
	if _, err := n.Run(t.Context()); fault.Code(err) != int(fault.Verify) || n.d.writes != 0 || !strings.Contains(err.Error(), "shelf key add") {
		t.Errorf("no key: %v", err)
	}
	// A bundle that does not fit, or that the caller refuses, is refused before any write.
	n = m.node(memory{data: m.data})
	n.Space = m.manifest.Slot.Size - 512
	if _, err := n.Run(t.Context()); fault.Code(err) != int(fault.Device) || n.d.writes != 0 || n.did != nil {
		t.Errorf("too large: %v", err)
	}
	n = m.node(memory{data: m.data})
	n.Refuse = append(n.Refuse, func(context.Context, *bundle.Manifest, install.Facts) error { return fault.New(fault.Input, "", "no") })
	if _, err := n.Run(t.Context()); fault.Code(err) != int(fault.Input) || n.d.writes != 0 || n.did != nil {
		t.Errorf("refused: %v", err)
	}
}

// Whatever byte of deltas and pieces changes: the slot that is armed is the one that was signed, or
// none is. A source that ends early is an error, and what is there is kept.
func TestDamaged(t *testing.T) {
	m := upgrade(t)
	whole := m.bundle(t, m.new, false)
	for name, data := range map[string][]byte{"with a delta": m.data, "without": whole} {
		h, err := bundle.ParseHeader(data[:bundle.HeaderSize])
		if err != nil {
			t.Fatal(err)
		}
		begin := int(bundle.HeaderSize + h.Manifest + h.Signature + h.Index)
		bad := bytes.Clone(data)
		for i := range 12 {
			at := begin + (len(data)-begin)*i/12 + i
			bad[at] ^= 0x10
			n := m.node(memory{data: bad})
			_, err := n.Run(t.Context())
			bad[at] ^= 0x10
			if err == nil != n.whole(m) || err == nil != (n.armed != nil) || err != nil && (n.d.loads() || fault.Code(err) != int(fault.Verify)) {
				t.Errorf("%s, byte %d: %v, whole %v, orders %s", name, at, err, n.whole(m), n.orders())
			}
			if at < int(h.Pieces.Off) && err != nil {
				t.Errorf("%s, byte %d of a delta: %v", name, at, err)
			}
		}
		for i := range 6 {
			at := begin + (len(data)-begin)*i/6
			n := m.node(memory{data: data[:at]})
			if _, err := n.Run(t.Context()); err == nil {
				if !n.whole(m) { // nothing was needed of what is missing
					t.Errorf("%s, ends at %d of %d: armed, and not whole", name, at, len(data))
				}
				continue
			}
			if n.d.loads() || n.armed != nil {
				t.Errorf("%s, ends at %d: the slot loads %v, orders %s", name, at, n.d.loads(), n.orders())
			}
			n.Source = memory{data: data}
			if done, err := n.Run(t.Context()); err != nil || !n.whole(m) || i > 1 && done.Kept == 0 {
				t.Errorf("%s, goes on after %d: %+v, %v", name, at, done, err)
			}
		}
	}
}

// A whole delta, from this slot and of the right form, that makes another system: each piece that
// it makes is compared with the signed index and fetched.
func TestDeltaOfAnotherSystem(t *testing.T) {
	m := upgrade(t)
	part := func(data []byte, s bundle.Span) []byte { return data[s.Off:s.End()] }
	other := testbundle.Make(t, testslot.New(t, testslot.Version{Kernel: 300, Init: 77, Lib: 200}), m.key, 7, m.old)
	h, err := bundle.ParseHeader(other[:bundle.HeaderSize])
	if err != nil {
		t.Fatal(err)
	}
	foreign := part(other, h.Deltas[0].Span)
	head := m.header
	head.Deltas = []bundle.Delta{{Base: m.oldSum, Span: bundle.Span{Size: int64(len(foreign))}}}
	data := head.Marshal()
	data = append(data, m.data[bundle.HeaderSize:m.header.Deltas[0].Off]...)
	data = append(append(data, foreign...), part(m.data, m.header.Pieces)...)
	n := m.node(memory{data: data})
	done, err := n.Run(t.Context())
	if err != nil || !n.whole(m) || n.armed == nil || done.Fetched == 0 {
		t.Errorf("got %+v, %v, whole %v, orders %s", done, err, n.whole(m), n.orders())
	}
}

// Interrupted at every write: the slot does not load and is not armed, and running again makes it
// whole.
func TestInterrupted(t *testing.T) {
	m := upgrade(t)
	n := m.node(memory{data: m.data})
	if _, err := n.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	total, kept := n.d.writes, 0
	for stop := 1; stop <= total; stop++ {
		if stop > 4 && stop < total-4 && stop%7 != 0 && testing.Short() {
			continue
		}
		n := m.node(memory{data: m.data})
		n.d.fail = stop
		if _, err := n.Run(t.Context()); !errors.Is(err, errPower) || n.armed != nil {
			t.Fatalf("write %d of %d: %v, armed %v", stop, total, err, n.armed)
		}
		if rng := stop % 3; rng != 0 {
			_ = n.d.Flush() // what was written may be on the medium, or not
		} else {
			copy(n.d.cache, n.d.medium)
		}
		if stop > 1 && n.d.loads() {
			t.Fatalf("write %d of %d: the slot loads", stop, total)
		}
		if stop == total && stop%7 != 0 && testing.Short() {
			continue
		}
		if stop%9 == 0 || stop < 3 || stop > total-3 { // each costs a whole upgrade
			n.d.fail = 0
			done, err := n.Run(t.Context())
			if err != nil || !n.whole(m) || n.armed == nil {
				t.Fatalf("again after write %d of %d: %v", stop, total, err)
			}
			if done.Kept > 0 {
				kept++
			}
		}
	}
	if kept == 0 {
		t.Error("nothing was ever kept")
	}
}

// A system that does not hold its k3s is armed only once that is there.
func TestK3s(t *testing.T) {
	m := upgrade(t)
	text := []byte("the k3s binary")
	sum := sha256.Sum256(text)
	want := &manifest.K3s{Version: "v1.36.0+k3s1", Source: "firstboot", SHA256: fmt.Sprintf("%x", sum)}
	data := m.bundle(t, testslot.New(t, testslot.Version{K3s: want}), false)
	for _, c := range []struct {
		name   string
		err    error
		orders string
	}{{"there", nil, "forget b, arm b, reboot"}, {"not available", fault.New(fault.Input, "", "no k3s"), "forget b"}} {
		n := m.node(memory{data: data})
		asked := 0
		n.K3s = func(_ context.Context, k *manifest.K3s, arch string, _ func(done, total int64)) error {
			if asked++; *k != *want || arch != "arm64" || n.armed != nil {
				t.Errorf("%s: asked for %+v, armed %v", c.name, k, n.armed)
			}
			return c.err
		}
		if _, err := n.Run(t.Context()); !errors.Is(err, c.err) || asked != 1 || n.orders() != c.orders {
			t.Errorf("%s: %v, asked %d times, %s", c.name, err, asked, n.orders())
		}
		if c.err == nil && (n.armed == nil || n.armed.K3s != want.Version) {
			t.Errorf("%s: armed %+v", c.name, n.armed)
		}
	}
}
