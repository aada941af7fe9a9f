// Command crash cuts a node's power at random moments and looks at what is left: make crash [n=200]
// [seed=N] [only=CUT] [minutes=MOST]. It records one node's first boot and some later ones with
// every write and flush of its disk, then makes the disk as a power cut in the middle may leave it:
// what was flushed is there, of the rest nothing, everything, some, or some sectors. Each such disk
// must be repaired by e2fsck without a person, hold everything that was acknowledged before the
// cut, a boot record and a readable BOOT; every twentieth is booted. Controls, in which the disk
// has lied about its last flushes, must lose something, else the search proves nothing.
//
// With only=states it explores the raw writes of an upgrade instead, n of a million states without
// a guest, and boots a hundred of them on U-Boot: see packages powercut and ubootstates.
//
// With only=upgrade the node is one that imgbuild upgrade upgrades, from version to version: QEMU
// is killed twice in each upgrade, and goes on with a disk that has lost what was not flushed, as
// above. Each time one of the two systems must boot, by a record that only leads to whole slots,
// and in the end imgbuild upgrade must report the commit. The controls are states of the same
// moments.
//
// A run that was ended goes on where it was; out/crash holds its recording and results. Another
// commit gets a recording of its own; for a new one of the same commit remove out/crash.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"imgbuild/init/contract/fault"
	"imgbuild/qemu/long/longrun"
	"imgbuild/qemu/long/powercut"
	"imgbuild/qemu/long/ubootstates"
	"imgbuild/qemu/tool"
	"imgbuild/qemu/vm"
)

var command = longrun.Command{
	Name: "crash", Only: "CUT, states or upgrade", Seed: "NUMBER", N: "CUTS", Minutes: "MOST", Default: longrun.Options{N: cuts, Seed: 1}, Do: run,
}

func main() { command.Main() }

// options of a search.
type options struct {
	n, only int // only is -1 for all
	seed    uint64
}

// chosen reads the number of a cut.
func chosen(only string) (int, error) {
	if only == "" {
		return -1, nil
	}
	n, err := strconv.Atoi(only)
	if err != nil || n < 0 {
		return 0, fault.New(fault.Usage, "write the number that follows the word cut", "only=%s is not a number of a cut", only)
	}
	return n, nil
}

// How many cuts, or states, are explored when n= is not given.
const (
	cuts    = 200
	million = 1_000_000
)

func exploreStates(ctx context.Context, r *longrun.Run) error {
	n := r.N
	if n == cuts {
		n = million
	}
	r.Head("%d states", n)
	report, err := powercut.Run(ctx, r.Seed, n, 64<<20, func(line string) { r.Say("%s", line) })
	if err != nil {
		return err
	}
	for _, e := range report.Examples {
		r.Say("wrong: %s", e)
	}
	boot, err := powercut.RunBoot(ctx, r.Seed, func(line string) { r.Say("%s", line) })
	if err != nil {
		return err
	}
	for _, e := range boot.Examples {
		r.Say("wrong: %s", e)
	}
	wrong, err := onUBoot(ctx, r)
	if err != nil {
		return err
	}
	return r.End(report.Wrong+boot.Wrong+wrong, "%s; %s; %d states booted on U-Boot, %d otherwise than the oracle expects", report, boot, booted, wrong)
}

// booted is how many of the states are booted on the real U-Boot.
const booted = 100

// onUBoot boots some of the states on the real U-Boot, and counts those that it judges differently.
func onUBoot(ctx context.Context, r *longrun.Run) (int, error) {
	samples, err := powercut.Samples(r.Seed, booted)
	if err != nil {
		return 0, err
	}
	temp, err := tool.Scratch("states")
	if err != nil {
		return 0, err
	}
	defer temp.Remove()
	program, err := filepath.Abs("bin/imgbuild")
	if err != nil {
		return 0, err
	}
	_, public, err := vm.NewKey()
	if err != nil {
		return 0, err
	}
	image, err := build(ctx, program, temp.Path, public)
	if err != nil {
		return 0, err
	}
	wrong, err := ubootstates.Run(ctx, image, temp.Path, samples, r.Say)
	for _, w := range wrong {
		r.Say("wrong: %s", w)
	}
	return len(wrong), err
}

func run(ctx context.Context, r *longrun.Run) error {
	if r.Only == "states" {
		return exploreStates(ctx, r)
	}
	if r.Only == "upgrade" {
		return cutUpgrades(ctx, r)
	}
	only, err := chosen(r.Only)
	if err != nil {
		return err
	}
	r.Head("%d cuts", r.N)
	dir, err := filepath.Abs(r.Dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := recordOnce(ctx, dir, r.Commit, r.Say); err != nil {
		return err
	}
	images, _ := filepath.Glob(filepath.Join(dir, "image", "*.img"))
	if len(images) != 1 {
		return fmt.Errorf("%s holds no image any more; remove it", dir)
	}
	recorded, areas, err := Load(images[0], filepath.Join(dir, "writes.log"))
	if err != nil {
		return err
	}
	r.Say("recorded: %s", recorded.summary(areas))
	s := &search{r: recorded, o: options{r.N, only, r.Seed}, dir: dir, say: r.Say, every: 20}
	if only < 0 {
		if s.notes, err = longrun.Resume[Result](r, fmt.Sprintf("%d-%d", r.Seed, r.N)); err != nil {
			return err
		}
		defer s.notes.Close()
		s.done = s.notes.Done
		for _, one := range s.done {
			s.report(one)
		}
	}
	search := ctx
	if r.Minutes > 0 {
		var cancel context.CancelFunc
		search, cancel = context.WithTimeout(ctx, time.Duration(r.Minutes*float64(time.Minute)))
		defer cancel()
	}
	err = s.all(search)
	if err != nil {
		fmt.Fprintln(r.Out, s.line())
	}
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil && search.Err() != nil {
		return fault.New(fault.Interrupted, "the same command goes on", "the %g minutes are over", r.Minutes)
	}
	if err != nil {
		return err
	}
	if s.notes != nil {
		if err := s.notes.Over(); err != nil {
			return err
		}
	}
	_, bad, _, _, _, _ := s.counts()
	if err := r.End(bad, "%s", s.line()); err != nil {
		return err
	}
	return s.verdict()
}

// recordOnce makes the recording, unless there is one of this commit.
func recordOnce(ctx context.Context, dir, commit string, say func(string, ...any)) error {
	done := filepath.Join(dir, "recorded")
	if text, err := os.ReadFile(done); err == nil && string(text) == commit {
		say("the recording in %s is used", dir)
		return nil
	}
	stale, _ := filepath.Glob(filepath.Join(dir, "results-*"))
	for _, path := range append(stale, done, filepath.Join(dir, "recorded.img")) {
		if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	program, err := filepath.Abs("bin/imgbuild")
	if err != nil {
		return err
	}
	key, public, err := vm.NewKey()
	if err != nil {
		return err
	}
	image, err := build(ctx, program, dir, public)
	if err != nil {
		return err
	}
	if err := Record(ctx, image, key, dir, 4, 150, say); err != nil {
		return err
	}
	return os.WriteFile(done, []byte(commit), 0o600)
}

// summary describes the recording.
func (r *Recording) summary(areas map[string]int64) string {
	flushes := 0
	for _, e := range r.Entries {
		if e.Flush {
			flushes++
		}
	}
	return fmt.Sprintf("%d writes, %d flushes, %d acknowledgements; data %d KiB, BOOT %d KiB, boot record %d sectors, partition table %d KiB",
		len(r.Entries)-flushes, flushes, len(r.Marks), areas["data"]>>10, (areas["BOOT/config.yaml"]+areas["BOOT/report.txt"])>>10, areas["boot record"]>>9, areas["partition table"]>>10)
}

// Result is what became of a cut.
type Result struct {
	Cut
	Due    int      `json:"due"` // files with something acknowledged
	Bad    []string `json:"bad,omitempty"`
	Booted bool     `json:"booted,omitempty"`
}

// bootState boots a disk; it comes up with its data or not.
func bootState(ctx context.Context, path, dir string) []string {
	guest, err := vm.Start(ctx, vm.Options{Image: path, Kept: true, Dir: dir, Name: "cut", Machine: "virt"})
	if err != nil {
		return []string{err.Error()}
	}
	defer guest.Stop()
	if err := ready(ctx, guest); err != nil {
		return []string{"it does not come up: " + err.Error()}
	}
	return nil
}
