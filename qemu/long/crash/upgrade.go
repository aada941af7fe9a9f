package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"imgbuild/init/contract/bootstate"
	"imgbuild/init/contract/fault"
	"imgbuild/qemu/long/longrun"
	"imgbuild/qemu/vm"
)

// An UpgradeCut is what became of a power cut during an upgrade.
type UpgradeCut struct {
	Number  int      `json:"cut"`
	Part    string   `json:"part"`              // in which the power was to go
	Phase   string   `json:"phase"`             // how far the upgrade was, by the disk
	Way     string   `json:"way"`               // what became of the writes that no flush had made durable
	Pending int      `json:"pending"`           // how many those were
	Slot    string   `json:"slot"`              // that booted after the cut
	Again   int      `json:"again"`             // how often imgbuild upgrade had to be run again
	Control string   `json:"control,omitempty"` // of a disk that loses flushes: caught or missed
	Bad     []string `json:"bad,omitempty"`
}

// upgradePatience ends what hangs: one imgbuild upgrade through power cuts.
const upgradePatience = 30 * time.Minute

var (
	written = regexp.MustCompile(`(?m): write {2,}.*$`)
	read    = regexp.MustCompile(`(?m): read back {2,}.*$`)
	up      = regexp.MustCompile(`shelf: ready`)
)

func started(slot string) *regexp.Regexp { return regexp.MustCompile(`shelf: booting slot ` + slot) }

// upgradeRig is a node that is upgraded from version to version, and the laptop that does it.
type upgradeRig struct {
	dir      string
	laptop   laptop
	relay    *relay
	versions [3]version
	say      func(string, ...any)
	pace     pace

	now     int                // index of the version that runs
	slot    string             // that it runs in
	held    map[string]version // what is in the slots
	disk    string             // the guest began with it
	guest   *vm.VM
	console *watch
	kill    context.CancelFunc
}

func (r *upgradeRig) log() string { return filepath.Join(r.dir, "writes.log") }

// fresh begins with a node that has just been flashed.
func (r *upgradeRig) fresh(ctx context.Context) error {
	r.end()
	for _, name := range []string{r.disk, filepath.Join(r.laptop.home, ".ssh", "known_hosts")} {
		if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if err := vm.Copy(r.disk, r.versions[0].image, diskSize); err != nil {
		return err
	}
	r.now, r.slot = 0, bootstate.A
	r.held = map[string]version{bootstate.A: r.versions[0]}
	if err := r.boot(ctx); err != nil {
		return err
	}
	_, err := r.booted(ctx)
	return err
}

// boot starts the guest on a copy of the disk.
func (r *upgradeRig) boot(ctx context.Context) error {
	if err := os.Remove(filepath.Join(r.dir, "node.img")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	ctx, r.kill = context.WithCancel(ctx)
	r.console = newWatch()
	var err error
	r.guest, err = vm.Start(ctx, vm.Options{Image: r.disk, Dir: r.dir, Name: "node", Machine: "virt", Size: diskSize, Log: r.log(), Console: r.console})
	if err == nil {
		r.relay.set(r.guest.Forward[22])
	}
	return err
}

// booted waits until the guest is up with its data, and returns the slot that it runs.
func (r *upgradeRig) booted(ctx context.Context) (slot string, err error) {
	m, err := r.guest.Expect(ctx, `shelf: booting slot ([ab])`, patience)
	if err != nil {
		return "", err
	}
	return m[1], ready(ctx, r.guest)
}

// end ends the guest as a power cut does: QEMU is killed, with what it has in its memory.
func (r *upgradeRig) end() {
	r.relay.set("")
	if r.kill != nil {
		r.kill()
	}
	if r.guest != nil {
		_ = r.guest.Wait(context.Background()) // it was killed
	}
	r.guest, r.kill = nil, nil
}

// sending is one imgbuild upgrade that runs.
type sending struct {
	out  *watch
	over chan struct{} // closed when it has ended
	err  error         // of its end
	stop context.CancelFunc
}

func (r *upgradeRig) send(ctx context.Context, a attempt) (*sending, error) {
	s := &sending{out: newWatch(), over: make(chan struct{})}
	ctx, s.stop = context.WithTimeout(ctx, upgradePatience)
	cmd := r.laptop.imgbuild(ctx, "upgrade", r.relay.address(), "bundle="+a.to.bundle, "from="+a.from.image, "key=accept-new")
	cmd.Dir, cmd.Stdout, cmd.Stderr = r.laptop.home, s.out, s.out
	if err := cmd.Start(); err != nil {
		s.stop()
		return nil, err
	}
	go func() {
		s.err = cmd.Wait()
		close(s.over)
	}()
	return s, nil
}

// ended reports whether it has ended, and with which code.
func (s *sending) ended() (code int, yes bool) {
	select {
	case <-s.over:
	default:
		return 0, false
	}
	var exit *exec.ExitError
	switch {
	case s.err == nil:
		return 0, true
	case errors.As(s.err, &exit):
		return exit.ExitCode(), true
	}
	return -1, true
}

// next is the upgrade to the next version.
func (r *upgradeRig) next() attempt {
	a := attempt{from: r.versions[r.now], to: r.versions[(r.now+1)%len(r.versions)], slot: bootstate.Other(r.slot)}
	if had, ok := r.held[a.slot]; ok {
		a.had = &had
	}
	return a
}

// measure upgrades the node once without a cut, and notes how long the parts take.
func (r *upgradeRig) measure(ctx context.Context) error {
	a := r.next()
	from := r.console.here()
	s, err := r.send(ctx, a)
	if err != nil {
		return err
	}
	defer s.stop()
	begun := time.Now()
	var took [4]time.Duration
	for i, w := range []struct {
		in      *watch
		pattern *regexp.Regexp
	}{{s.out, written}, {s.out, read}, {r.console, started(a.slot)}, {r.console, up}} {
		at := 0
		if w.in == r.console {
			at = from
		}
		next, found, err := w.in.wait(ctx, w.pattern, at, s.over)
		if err != nil {
			return err
		}
		if !found {
			return fmt.Errorf("imgbuild upgrade ended before %q:\n%s", w.pattern, s.out)
		}
		if w.in == r.console {
			from = next
		}
		took[i], begun = time.Since(begun), time.Now()
	}
	<-s.over
	if code, _ := s.ended(); code != 0 {
		return fmt.Errorf("imgbuild upgrade ends with %d:\n%s", code, s.out)
	}
	r.pace = pace{took[0], took[1] + took[2], took[3], time.Since(begun)}
	r.say("without a cut: %.0f s until it is written, %.0f s until it is tried, %.0f s until it is up, %.0f s until that is known to be committed",
		r.pace.write.Seconds(), r.pace.arm.Seconds(), r.pace.boot.Seconds(), r.pace.settle.Seconds())
	return r.verify(ctx, a)
}

// verify has the node report that it runs what it was upgraded to.
func (r *upgradeRig) verify(ctx context.Context, a attempt) error {
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	sh, err := r.guest.SSH(ctx, "rancher", r.laptop.key)
	if err != nil {
		return err
	}
	defer sh.Close()
	text, err := sh.Run(ctx, "sudo shelf status -o json || true")
	if err != nil {
		return err
	}
	for _, want := range []string{fmt.Sprintf("%q: %q", "version", a.to.name), fmt.Sprintf("%q: %q", "slot", a.slot)} {
		if !strings.Contains(text, want) {
			return fmt.Errorf("after the commit the status has no %s:\n%.600s", want, text)
		}
	}
	r.now, r.slot, r.held[a.slot] = (r.now+1)%len(r.versions), a.slot, a.to
	return nil
}

// await waits for the moment.
func (r *upgradeRig) await(ctx context.Context, m moment, a attempt, s *sending, begun time.Time, console, out int) error {
	pause := r.pace.wait(m)
	var err error
	switch m.Part {
	case download, write:
		pause -= time.Since(begun)
	case arming:
		_, _, err = s.out.wait(ctx, read, out, s.over)
	case trial:
		_, _, err = r.console.wait(ctx, started(a.slot), console, s.over)
	case commit:
		if console, _, err = r.console.wait(ctx, started(a.slot), console, s.over); err == nil {
			_, _, err = r.console.wait(ctx, up, console, s.over)
		}
	}
	if err != nil {
		return err
	}
	select {
	case <-time.After(pause):
	case <-ctx.Done():
	}
	return ctx.Err()
}

// cut has the power go, looks at what is left and boots that.
func (r *upgradeRig) cut(ctx context.Context, m moment, a attempt, c *UpgradeCut) error {
	r.end()
	f, err := os.Open(r.log())
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	entries, err := ReadLog(f, info.Size())
	if err != nil {
		return err
	}
	left := filepath.Join(r.dir, "left.img")
	at := Cut{Number: c.Number, Entry: len(entries), Way: m.way, seed: m.seed}
	if c.Pending, err = r.state(entries, at, left); err != nil {
		return err
	}
	now, bad, err := examine(ctx, left, a)
	if err != nil {
		return err
	}
	c.Phase, c.Way, c.Bad = now.phase(a), m.way, bad
	if now.record.Slot() == a.slot && wroteTo(entries, a.slot) {
		if c.Control, err = r.control(ctx, entries, at, a); err != nil {
			return err
		}
	}
	if len(bad) > 0 {
		_ = vm.Copy(filepath.Join(r.dir, fmt.Sprintf("failed-%d.img", c.Number)), left, 0)
		return nil
	}
	if err := os.Rename(left, r.disk); err != nil {
		return err
	}
	if err := r.boot(ctx); err != nil {
		return err
	}
	if c.Slot, err = r.booted(ctx); ctx.Err() != nil {
		return ctx.Err()
	} else if err != nil {
		c.Bad = append(c.Bad, "it does not come up: "+err.Error())
	} else if c.Slot != now.record.Slot() {
		c.Bad = append(c.Bad, fmt.Sprintf("slot %s booted, the record is %+v", c.Slot, now.record))
	}
	return nil
}

// state makes the disk as a cut leaves it, and returns how many writes were not durable.
func (r *upgradeRig) state(entries []Entry, c Cut, path string) (pending int, err error) {
	durable := filepath.Join(r.dir, "durable.img")
	defer os.Remove(durable)
	replayer, err := NewReplayer(r.disk, r.log(), entries, durable, diskSize)
	if err != nil {
		return 0, err
	}
	defer replayer.Close()
	for _, e := range entries[replayer.durable(c):c.Entry] {
		if e.Size > 0 {
			pending++
		}
	}
	return pending, replayer.State(c, path)
}

// control looks at a disk that had reported its last flushes and lost them: something must be
// wrong with it.
func (r *upgradeRig) control(ctx context.Context, entries []Entry, c Cut, a attempt) (string, error) {
	path := filepath.Join(r.dir, "control.img")
	defer os.Remove(path)
	c.Lying, c.Way = true, "some"
	if _, err := r.state(entries, c, path); err != nil {
		return "", err
	}
	_, bad, err := examine(ctx, path, a)
	if err != nil {
		return "", err
	}
	if len(bad) == 0 {
		return "missed", nil
	}
	return "caught", nil
}

// upgrade upgrades the node to the next version through power cuts, which are numbered from first
// on. What is wrong is in the results, or else an error of the search itself is returned; after
// either the node is not used any more.
func (r *upgradeRig) upgrade(ctx context.Context, first int, all []moment) (cuts []UpgradeCut, err error) {
	a := r.next()
	console := r.console.here()
	s, err := r.send(ctx, a)
	if err != nil {
		return nil, err
	}
	defer func() { s.stop(); <-s.over }()
	begun, out := time.Now(), 0
	for i, m := range all {
		if err := r.await(ctx, m, a, s, begun, console, out); err != nil {
			return cuts, err
		}
		code, over := s.ended()
		a.armed, a.over = strings.Contains(s.out.String(), "is written to slot"), over && code == 0
		cuts = append(cuts, UpgradeCut{Number: first + i, Part: parts[m.Part]})
		c := &cuts[len(cuts)-1]
		if err := r.cut(ctx, m, a, c); err != nil {
			return cuts, fmt.Errorf("cut %d: %w", c.Number, err)
		}
		if len(c.Bad) > 0 {
			return cuts, nil
		}
		// The console is a new one. The node that is upgraded further is up, in either system.
		begun, console, out = time.Now(), 0, s.out.here()
	}
	last := &cuts[len(cuts)-1]
	for {
		<-s.over
		code, _ := s.ended()
		if ctx.Err() != nil {
			return cuts, ctx.Err()
		}
		if code == int(fault.Network) && last.Again < 3 {
			last.Again++ // as a person would whose laptop has given up on a node without power
			s.stop()
			if s, err = r.send(ctx, a); err != nil {
				return cuts, err
			}
			continue
		}
		if code != 0 {
			last.Bad = append(last.Bad, fmt.Sprintf("imgbuild upgrade ends with %d: %s", code, tail(s.out.String(), 8)))
		} else if err := r.verify(ctx, a); err != nil {
			last.Bad = append(last.Bad, err.Error())
		}
		return cuts, ctx.Err()
	}
}

// wroteTo reports whether a slot was written.
func wroteTo(entries []Entry, slot string) bool {
	for _, e := range entries {
		if e.Size > 0 && inSlot(e.Offset) == slot {
			return true
		}
	}
	return false
}

// cutUpgrades is make crash only=upgrade.
func cutUpgrades(ctx context.Context, run *longrun.Run) error {
	run.Head("%d cuts of upgrades", run.N)
	dir, err := filepath.Abs(filepath.Join(run.Dir, "upgrade"))
	if err != nil {
		return err
	}
	notes, err := longrun.Resume[UpgradeCut](run, fmt.Sprintf("upgrade-%d-%d", run.Seed, run.N))
	if err != nil {
		return err
	}
	defer notes.Close()
	for _, c := range notes.Done {
		c.report(run.Say)
	}
	limited := ctx
	if run.Minutes > 0 {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeout(ctx, time.Duration(run.Minutes*float64(time.Minute)))
		defer cancel()
	}
	if err := moreCuts(limited, run, notes, dir); err != nil {
		fmt.Fprintln(run.Out, sumUp(notes.Done).line())
		if errors.Is(limited.Err(), context.DeadlineExceeded) && ctx.Err() == nil {
			return fault.New(fault.Interrupted, "the same command goes on", "the %g minutes are over", run.Minutes)
		}
		return err
	}
	if err := notes.Over(); err != nil {
		return err
	}
	sum := sumUp(notes.Done)
	if err := run.End(sum.bad, "%s", sum.line()); err != nil {
		return err
	}
	return sum.verdict()
}

// moreCuts makes the cuts that are not there yet. The disks of failures stay in dir.
func moreCuts(ctx context.Context, run *longrun.Run, notes *longrun.Notes[UpgradeCut], dir string) error {
	if len(notes.Done) >= run.N {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(dir, "versions-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	program, err := filepath.Abs("bin/imgbuild")
	if err != nil {
		return err
	}
	l, public, err := newLaptop(program, filepath.Join(temp, "home"))
	if err != nil {
		return err
	}
	r := &upgradeRig{dir: dir, laptop: l, say: run.Say, pace: usual, disk: filepath.Join(dir, "disk.img")}
	if r.versions, err = buildVersions(ctx, l, temp, public); err != nil {
		return err
	}
	if r.relay, err = newRelay(ctx); err != nil {
		return err
	}
	defer func() {
		r.end()
		for _, name := range []string{r.disk, r.log(), filepath.Join(dir, "node.img")} {
			_ = os.Remove(name) // one that is in the way is written again
		}
	}()
	for good := false; len(notes.Done) < run.N; {
		if !good {
			if err := r.fresh(ctx); err != nil {
				return err
			}
			if err := r.measure(ctx); err != nil {
				return err
			}
		}
		first := len(notes.Done)
		all := moments(run.Seed, first/cutsPerUpgrade)
		cuts, err := r.upgrade(ctx, first, all[:min(len(all), run.N-first)])
		if err != nil {
			return err
		}
		good = true
		for _, c := range cuts {
			if err := notes.Add(c); err != nil {
				return err
			}
			c.report(run.Say)
			good = good && len(c.Bad) == 0
		}
	}
	return nil
}
