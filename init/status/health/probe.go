package health

import (
	"context"
	"fmt"
	"sync"
	"time"

	"imgbuild/init/base/guard"
	"imgbuild/init/base/limit"
	"imgbuild/init/contract/checks"
)

// Probe asks a service that counts as ready whether it does its work. It is one of the project's
// three seams: each role brings its own, and the caller needs to know nothing else about the role.
// Ask honours ctx, changes nothing and returns one line with what is wrong.
type Probe struct {
	Check string // its name in package checks
	Ask   func(ctx context.Context) error
}

// Answer is what a probe has found. The zero value is that of one that was not asked since its unit
// became ready, which takes the same question.
type Answer struct {
	Failures int   // in a row
	Err      error // of the last one
}

// tolerated is how many failures in a row are passed over: a busy board may answer late once.
const tolerated = 2

func (a Answer) judge(unit string) (State, []string) {
	if a.Failures <= tolerated {
		return Good, nil
	}
	return Bad, []string{fmt.Sprintf("%s: %v", unit, a.Err)}
}

// patience is how long one probe may take.
const patience = 20 * time.Second

// Prober asks probes and keeps their answers. All methods may be called from any goroutine.
type Prober struct {
	mu      sync.Mutex
	probes  []Probe
	answers map[string]Answer
}

// Add adds a probe.
func (p *Prober) Add(list ...Probe) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.probes = append(p.probes, list...)
}

// Answers returns the answers by check.
func (p *Prober) Answers() map[string]Answer {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make(map[string]Answer, len(p.answers))
	for name, a := range p.answers {
		all[name] = a
	}
	return all
}

// Round asks all probes whose unit is ready, in parallel, and forgets the answers of the others. It
// returns when all have answered, or after patience.
func (p *Prober) Round(ctx context.Context, ready func(unit string) bool) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	p.mu.Lock()
	probes := p.probes[:len(p.probes):len(p.probes)]
	p.mu.Unlock()
	var wait sync.WaitGroup
	for _, one := range probes {
		c, _ := checks.Find(one.Check)
		if !ready(c.Unit) {
			p.keep(one.Check, nil)
			continue
		}
		wait.Add(1)
		guard.Go(func() {
			defer wait.Done()
			err := limit.Do(ctx, func() error { return one.Ask(ctx) })
			if err != nil && ctx.Err() != nil {
				err = fmt.Errorf("no answer within %v", patience)
			}
			p.keep(one.Check, err)
		})
	}
	wait.Wait()
}

func (p *Prober) keep(check string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		delete(p.answers, check)
		return
	}
	if p.answers == nil {
		p.answers = map[string]Answer{}
	}
	p.answers[check] = Answer{p.answers[check].Failures + 1, err}
}
