// Package install takes an upgrade from its bundle to an armed slot. It runs in a process of its
// own; what changes the boot record or the ledger goes through PID 1 (Orders), which is their only
// writer.
//
// The order of things: everything that can be refused is refused before anything is written; the
// boot record forgets the slot before it is written; the slot is whole and read back, and the k3s
// that it needs is there, before it is armed.
package install

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"imgbuild/init/contract/bundle"
	"imgbuild/init/contract/delta"
	"imgbuild/init/contract/dialogue"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/manifest"
	"imgbuild/init/upgrade/ledger"
	"imgbuild/init/upgrade/slot"
	"imgbuild/init/upgrade/source"
)

// Orders are what PID 1 is asked for.
type Orders struct {
	Forget func(slot string) error      // nothing is known of a slot any more: it is about to be written
	Arm    func(a ledger.Attempt) error // the next boot tries it; PID 1 notes which checks pass now
	Reboot func() error                 // nil: the caller reboots
}

// Job is one upgrade. Source, Keys, Facts, Target and Orders are required.
type Job struct {
	Source source.Source
	Kind   string // of the source
	Keys   bundle.Keys
	Facts  Facts
	Target slot.Device // the partition that does not run, from its first byte
	Space  int64       // bytes of it

	Old    io.ReaderAt // the partition that runs; nil: everything is fetched
	OldSum [32]byte    // sha256 of its manifest.json

	Orders Orders
	// Refuse are further reasons not to take a bundle, asked before anything is written.
	Refuse []func(ctx context.Context, m *bundle.Manifest, f Facts) error
	// K3s brings the k3s of a system that does not hold one, and returns when it is there, checked.
	K3s func(ctx context.Context, k *manifest.K3s, arch string, progress func(done, total int64)) error

	Force    bool                                         // take a bundle that was rolled back here
	Ask      func(ctx context.Context, step string) error // nil: every step may be done
	Note     func(text string)                            // nil: nobody reads it
	Progress func(dialogue.Progress)                      // likewise
	Now      func() time.Time                             // nil: time.Now
}

// Run installs the upgrade. After an error the running system is as it was, and the next boot is
// one of it; running again goes on where this one stopped.
func (j *Job) Run(ctx context.Context) (*dialogue.Done, error) {
	if j.Now == nil {
		j.Now = time.Now
	}
	if err := j.Facts.Ready(); err != nil {
		return nil, err
	}
	b, err := bundle.Open(ctx, j.Source, j.Keys)
	if err != nil {
		return nil, err
	}
	m := b.Manifest
	done := &dialogue.Done{Bundle: m.Slot.Manifest, Version: m.Version, Slot: other(j.Facts.Slot), Seconds: j.Facts.Deadline}
	if m.SlotSum() == j.OldSum {
		done.Result, done.Slot = dialogue.Same, j.Facts.Slot
		j.note("%s runs already, in slot %s", m.Version, j.Facts.Slot)
		return done, nil
	}
	notes, err := Judge(m, j.Kind, j.Facts, j.Space, j.Force, j.Now())
	if err != nil {
		return nil, err
	}
	for _, refuse := range j.Refuse {
		if err := refuse(ctx, m, j.Facts); err != nil {
			return nil, err
		}
	}
	for _, n := range notes {
		j.note("%s", n)
	}
	if stopped, err := j.step(ctx, done, dialogue.StepWrite); stopped || err != nil {
		return done, err
	}
	if err := j.write(ctx, b, done); err != nil {
		return nil, err
	}
	if err := j.k3s(ctx, m); err != nil {
		return nil, err
	}
	if stopped, err := j.step(ctx, done, dialogue.StepArm); stopped || err != nil {
		return done, err
	}
	if err := j.arm(m, done); err != nil {
		return nil, err
	}
	if stopped, err := j.step(ctx, done, dialogue.StepReboot); stopped || err != nil {
		return done, err
	}
	done.Reboot = true
	if j.Orders.Reboot != nil {
		return done, j.Orders.Reboot()
	}
	return done, nil
}

// write makes the slot what the bundle holds, unless it is that already.
func (j *Job) write(ctx context.Context, b *bundle.Bundle, done *dialogue.Done) error {
	m := b.Manifest
	if j.Facts.Armed {
		return nil // Judge has found that it is this one
	}
	read := newMeter(PhaseRead, j.Progress, j.Now)
	there, err := j.there(ctx, b, read.report)
	if err != nil {
		return err
	}
	if there {
		done.Kept = m.Slot.Size
		j.note("%s is in slot %s already, whole: nothing is written", m.Version, done.Slot)
		return nil
	}
	if err := j.Orders.Forget(done.Slot); err != nil {
		return err
	}
	system := slot.System{Size: m.Slot.Size}
	if sum, err := hex.DecodeString(m.Slot.SHA256); err != nil || copy(system.SHA256[:], sum) != sha256.Size {
		return fault.New(fault.Internal, "", "the slot has the sha256 %q", m.Slot.SHA256)
	}
	system.Fill = func(ctx context.Context, p slot.Partition, resume bool) ([slot.Sector]byte, error) {
		res, err := delta.Apply(ctx, delta.Options{
			Bundle: b, Old: j.Old, OldSum: j.OldSum, New: p, Resume: resume, Progress: newMeter(PhaseWrite, j.Progress, j.Now).report,
		})
		done.Kept, done.Copied, done.Patched, done.Fetched, done.Delta = res.Kept, res.Copied, res.Patched, res.Fetched, res.Delta
		if res.Broken != nil {
			j.note("the delta could not be used (%v); what it lacks is fetched whole", res.Broken)
		}
		return res.First, err
	}
	return slot.Write(ctx, j.Target, slot.Area{Size: j.Space}, system, newMeter(PhaseRead, j.Progress, j.Now).report)
}

// there reports whether the slot holds the bundle's system, every byte of it. Most of the time the
// first sector rules it out.
func (j *Job) there(ctx context.Context, b *bundle.Bundle, report func(done, total int64)) (bool, error) {
	const chunk = 1 << 20
	m, medium, buf := b.Manifest, j.Target.Direct(), make([]byte, chunk)
	if _, err := medium.ReadAt(buf[:slot.Sector], 0); err != nil || bundle.SumOf(buf[:slot.Sector]) != b.Index.Pieces[0].Sum {
		return false, nil // what cannot be read can be written
	}
	h := sha256.New()
	for at := int64(0); at < m.Slot.Size; {
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		n := min(chunk, m.Slot.Size-at) // of whole sectors, as the manifest's Check requires
		if _, err := medium.ReadAt(buf[:n], at); err != nil {
			return false, nil
		}
		h.Write(buf[:n])
		at += n
		report(at, m.Slot.Size)
	}
	return hex.EncodeToString(h.Sum(nil)) == m.Slot.SHA256, nil
}

// k3s brings the binary that the new system needs, before the system is armed.
func (j *Job) k3s(ctx context.Context, m *bundle.Manifest) error {
	if m.K3s == nil || m.K3s.Source != "firstboot" {
		return nil
	}
	if j.K3s == nil {
		return fault.New(fault.Internal, "", "nobody brings k3s %s", m.K3s.Version)
	}
	return j.K3s(ctx, m.K3s, m.Arch, newMeter(PhaseK3s, j.Progress, j.Now).report)
}

func (j *Job) arm(m *bundle.Manifest, done *dialogue.Done) error {
	done.Result = dialogue.Armed
	if j.Facts.Armed {
		j.note("%s waits for the next boot already", m.Version)
		return nil
	}
	a := ledger.Attempt{
		System: ledger.System{Bundle: m.Slot.Manifest, Version: m.Version, Floor: m.Floor},
		Slot:   done.Slot, From: j.Facts.Version, FromK3s: j.Facts.K3s, Source: j.Kind, Armed: j.Now().UTC(),
	}
	if m.K3s != nil {
		a.K3s = m.K3s.Version
	}
	return j.Orders.Arm(a)
}

// step asks for leave. Only an error of the connection is one.
func (j *Job) step(ctx context.Context, done *dialogue.Done, step string) (stopped bool, err error) {
	if j.Ask == nil {
		return false, nil
	}
	if err = j.Ask(ctx, step); err == nil {
		return false, nil
	}
	if kind := fault.Code(err); kind == int(fault.Network) || ctx.Err() != nil {
		return false, err
	}
	if done.Result == "" {
		done.Result = dialogue.Stopped
	}
	done.Stopped = step
	return true, nil
}

func (j *Job) note(format string, args ...any) {
	if j.Note != nil {
		j.Note(fmt.Sprintf(format, args...))
	}
}

func other(slot string) string {
	if slot == "a" {
		return "b"
	}
	return "a"
}

// SystemDir is where the files of the running slot are.
const SystemDir = "/k3os/system"

// RunningSum returns the sha256 of the running slot's manifest.json, by which deltas name it.
func RunningSum(dir string) (sum [32]byte, err error) {
	data, err := os.ReadFile(dir + "/" + manifest.Name)
	want, serr := os.ReadFile(dir + "/" + manifest.SumName)
	if err = errors.Join(err, serr); err != nil {
		return sum, fault.Wrap(err, fault.Device, "", "the running system's manifest")
	}
	sum = sha256.Sum256(data)
	if text, _, _ := bytes.Cut(want, []byte(" ")); hex.EncodeToString(sum[:]) != string(text) {
		return sum, fault.New(fault.Verify, "replace the card if this comes again", "the running system's manifest is damaged")
	}
	return sum, nil
}
