package report

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"imgbuild/init/base/guard"
)

// LED is the board's activity light, by which someone with neither screen nor serial cable can
// count how far it came.
type LED struct {
	dir     string
	trigger string // to be restored
	mu      sync.Mutex
	steps   chan int // nil while the kernel has it
}

// FindLED takes the activity LED of the board below sys (/sys): one that the kernel blinks for a
// card, else one that is called so. Nil if there is none; all methods work on nil and may be called
// from any goroutine.
func FindLED(sys string) *LED {
	dirs, _ := filepath.Glob(filepath.Join(sys, "class/leds/*"))
	best, score := "", 0
	for _, dir := range dirs {
		trigger, _ := os.ReadFile(filepath.Join(dir, "trigger"))
		name, now, s := strings.ToLower(filepath.Base(dir)), current(string(trigger)), 0
		switch {
		case strings.HasPrefix(now, "mmc") || strings.HasPrefix(now, "disk"):
			s = 3
		case strings.Contains(name, "act") || strings.Contains(name, "led0"):
			s = 2
		case strings.Contains(name, "heartbeat") || now == "heartbeat" || strings.Contains(name, "blue"):
			s = 1
		}
		if s > score {
			best, score = dir, s
		}
	}
	if best == "" {
		return nil
	}
	trigger, _ := os.ReadFile(filepath.Join(best, "trigger"))
	return &LED{dir: best, trigger: current(string(trigger))}
}

// current is the trigger in brackets.
func current(triggers string) string {
	_, rest, _ := strings.Cut(triggers, "[")
	now, _, _ := strings.Cut(rest, "]")
	return now
}

// Blink shows a number: that many short flashes, then a pause, again and again, until another
// number or Stop.
func (l *LED) Blink(n int) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.steps == nil {
		l.set("trigger", "none")
		steps := make(chan int, 8)
		l.steps = steps
		guard.Go(func() { l.run(steps) })
	}
	l.steps <- n
}

// Stop returns the LED to the kernel.
func (l *LED) Stop() {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.steps != nil {
		close(l.steps)
		l.steps = nil
	}
}

func (l *LED) run(steps <-chan int) {
	n, ok := 0, true
	wait := func(d time.Duration) bool {
		select {
		case n, ok = <-steps:
			return false
		case <-time.After(d):
			return true
		}
	}
	for ok {
		for i := 0; i < n && ok; i++ {
			l.set("brightness", "1")
			if !wait(150 * time.Millisecond) {
				break
			}
			l.set("brightness", "0")
			if !wait(250 * time.Millisecond) {
				break
			}
		}
		l.set("brightness", "0")
		wait(time.Second)
	}
	l.set("trigger", l.trigger)
}

func (l *LED) set(file, value string) {
	_ = os.WriteFile(filepath.Join(l.dir, file), []byte(value), 0)
}
