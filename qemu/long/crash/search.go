package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"imgbuild/qemu/long/longrun"
	"imgbuild/qemu/vm"
)

// search goes through the cuts of one recording, and through controls.
type search struct {
	r     *Recording
	o     options
	dir   string // for disks
	every int    // one of so many states is booted; 0 for none
	say   func(string, ...any)
	notes *longrun.Notes[Result] // nil keeps none
	done  []Result
}

type id struct {
	number int
	lying  bool
}

func (s *search) add(r Result) { s.done = append(s.done, r) }

// all does the cuts that are not done yet, then the controls. A control is cut where something is
// acknowledged: there are a tenth as many, and at least three.
func (s *search) all(ctx context.Context) error {
	have := map[id]bool{}
	for _, r := range s.done {
		have[id{r.Number, r.Lying}] = true
	}
	var open []Cut
	for _, c := range Cuts(s.o.seed, s.o.n, s.r.First, len(s.r.Entries)) {
		if !have[id{c.Number, false}] && (s.o.only < 0 || s.o.only == c.Number) {
			open = append(open, c)
		}
	}
	if err := s.pass(ctx, open); err != nil {
		return err
	}
	open = nil
	first, last := s.r.Marks[min(20, len(s.r.Marks)-1)].entry, s.r.Marks[len(s.r.Marks)-1].entry
	for _, c := range Cuts(s.o.seed+1<<32, max(3, s.o.n/10), first, last) {
		if c.Lying = true; !have[id{c.Number, true}] && s.o.only < 0 {
			c.Way = []string{"nothing", "some", "torn"}[c.Number%3]
			open = append(open, c)
		}
	}
	return s.pass(ctx, open)
}

// pass replays the log once.
func (s *search) pass(ctx context.Context, cuts []Cut) error {
	if len(cuts) == 0 {
		return nil
	}
	replayer, err := NewReplayer(s.r.Image, s.r.Log, s.r.Entries, filepath.Join(s.dir, "durable.img"), diskSize)
	if err != nil {
		return err
	}
	defer os.Remove(filepath.Join(s.dir, "durable.img"))
	defer replayer.Close()
	for _, c := range cuts {
		if err := ctx.Err(); err != nil {
			return err
		}
		r, err := s.one(ctx, replayer, c)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("cut %d: %w", c.Number, err)
		}
		s.add(r)
		if s.notes != nil {
			if err := s.notes.Add(r); err != nil {
				return err
			}
		}
		s.report(r)
	}
	return nil
}

// report reports what is wrong with a cut; that a disk that loses flushes loses something is right.
func (s *search) report(r Result) {
	if !r.Lying {
		for _, b := range r.Bad {
			s.say("cut %d at entry %d (%s): %s", r.Number, r.Entry, r.Way, b)
		}
	}
}

// one makes a state, boots it if it is its turn, and checks it. A disk that is not as it should be
// is kept.
func (s *search) one(ctx context.Context, replayer *Replayer, c Cut) (Result, error) {
	path := filepath.Join(s.dir, "cut.img")
	defer os.Remove(path)
	if err := replayer.State(c, path); err != nil {
		return Result{}, err
	}
	due := Due(s.r.Marks, c.Entry)
	res := Result{Cut: c, Due: len(due)}
	bad, err := Check(ctx, path, due)
	if err != nil {
		return res, err
	}
	res.Bad = bad
	if c.Lying {
		return res, nil
	}
	if len(bad) > 0 {
		_ = vm.Copy(filepath.Join(s.dir, fmt.Sprintf("failed-%d.img", c.Number)), path, 0)
	}
	if s.every > 0 && (c.Number%s.every == s.every/2 || s.o.only == c.Number) {
		res.Booted = true
		if bad := bootState(ctx, path, s.dir); ctx.Err() == nil {
			res.Bad = append(res.Bad, bad...)
		}
	}
	return res, nil
}

// counts sums the results up.
func (s *search) counts() (cuts, bad, due, booted, controls, caught int) {
	for _, r := range s.done {
		switch {
		case r.Lying:
			controls++
			if len(r.Bad) > 0 {
				caught++
			}
			continue
		case len(r.Bad) > 0:
			bad++
		}
		cuts++
		due += r.Due
		if r.Booted {
			booted++
		}
	}
	return
}

// line is the result in one line.
func (s *search) line() string {
	cuts, bad, due, booted, controls, caught := s.counts()
	return fmt.Sprintf("%d power cuts: %d good, %d not; %d acknowledged files looked for; %d of the disks booted; control, a disk that loses flushes: %d of %d caught",
		cuts, cuts-bad, bad, due, booted, caught, controls)
}

// verdict is an error when a cut is not good, or when the controls caught nothing.
func (s *search) verdict() error {
	_, bad, _, _, controls, caught := s.counts()
	if bad > 0 {
		return fmt.Errorf("%d power cuts left a disk that is not as it should be", bad)
	}
	if controls > 0 && caught == 0 {
		return fmt.Errorf("a disk that loses flushes is not noticed: the search proves nothing")
	}
	return nil
}
