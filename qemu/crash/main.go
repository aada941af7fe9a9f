// Command crash cuts a node's power at random moments and looks at what is left: make crash [n=200] [seed=N] [only=CUT]
// [minutes=MOST]. It records one node's first boot and some later ones with every write and flush of its disk, then makes
// the disk as a power cut in the middle may leave it: what was flushed is there, of the rest nothing, everything, some, or
// some sectors. Each such disk must be repaired by e2fsck without a person, hold everything that was acknowledged before
// the cut, a boot record and a readable BOOT; every twentieth is booted. Controls, in which the disk has lied about its
// last flushes, must lose something, else the search proves nothing.
//
// A run that was ended goes on where it was; out/crash holds its recording and results. For a new recording remove it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"imgbuild/qemu/vm"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "crash:", err)
		os.Exit(1)
	}
}

// options of a run.
type options struct {
	n, only int // only is -1 for all
	seed    uint64
	limit   time.Duration // 0 for none
}

func parse(words []string) (options, error) {
	o := options{n: 200, only: -1, seed: 1}
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		number, err := strconv.ParseFloat(value, 64)
		if err != nil || number < 0 || number > 1e6 {
			return o, fmt.Errorf("%s: %q is no number", key, value)
		}
		switch key {
		case "n":
			o.n = int(number)
		case "only":
			o.only = int(number)
		case "seed":
			o.seed = uint64(number)
		case "minutes":
			o.limit = time.Duration(number * float64(time.Minute))
		default:
			return o, fmt.Errorf("%s is neither n=CUTS, seed=N, only=CUT nor minutes=MOST", w)
		}
	}
	return o, nil
}

func run(ctx context.Context, words []string) error {
	o, err := parse(words)
	if err != nil {
		return err
	}
	commit, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty").Output()
	if err != nil {
		commit = []byte("unknown\n")
	}
	dir, err := filepath.Abs("out/crash")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	say := func(format string, args ...any) { fmt.Printf("  "+format+"\n", args...) }
	recorded, err := recordOnce(ctx, dir, strings.TrimSpace(string(commit)), say)
	if err != nil {
		return err
	}
	images, _ := filepath.Glob(filepath.Join(dir, "image", "*.img"))
	if len(images) != 1 {
		return fmt.Errorf("%s holds no image any more; remove it", dir)
	}
	r, areas, err := Load(images[0], filepath.Join(dir, "writes.log"))
	if err != nil {
		return err
	}
	fmt.Printf("date %s, commit %s, recorded at %s, seed %d: %s\n", time.Now().UTC().Format(time.DateOnly), strings.TrimSpace(string(commit)), recorded, o.seed, r.summary(areas))
	s := &search{r: r, o: o, dir: dir, say: say, every: 20}
	if o.only < 0 {
		if err := s.resume(filepath.Join(dir, fmt.Sprintf("results-%d-%d.jsonl", o.seed, o.n))); err != nil {
			return err
		}
		defer s.results.Close()
	}
	if o.limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.limit)
		defer cancel()
	}
	err = s.all(ctx)
	fmt.Println(s.line())
	if errors.Is(err, context.DeadlineExceeded) && o.limit > 0 {
		return fmt.Errorf("the time is over; the same command goes on")
	}
	if err != nil {
		return err
	}
	return s.verdict()
}

// recordOnce makes the recording, unless it is there; it gives the commit that was recorded.
func recordOnce(ctx context.Context, dir, commit string, say func(string, ...any)) (string, error) {
	done := filepath.Join(dir, "recorded")
	if text, err := os.ReadFile(done); err == nil {
		say("the recording in %s is used", dir)
		return string(text), nil
	}
	stale, _ := filepath.Glob(filepath.Join(dir, "results-*"))
	for _, path := range append(stale, filepath.Join(dir, "recorded.img")) {
		if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
			return "", err
		}
	}
	program, err := filepath.Abs("bin/imgbuild")
	if err != nil {
		return "", err
	}
	key, public, err := newKey()
	if err != nil {
		return "", err
	}
	image, err := build(ctx, program, dir, public)
	if err != nil {
		return "", err
	}
	if err := Record(ctx, image, key, dir, 4, 150, say); err != nil {
		return "", err
	}
	return commit, os.WriteFile(done, []byte(commit), 0o600)
}

// summary says what the recording holds.
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

// resume reads the results that are there and keeps further ones in the same file.
func (s *search) resume(path string) error {
	text, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	for line := range strings.Lines(string(text)) {
		var r Result
		if json.Unmarshal([]byte(line), &r) == nil {
			s.add(r)
		}
	}
	if len(s.done) > 0 {
		s.say("%d results are there already", len(s.done))
	}
	s.results, err = os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	return err
}
