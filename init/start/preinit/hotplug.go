package preinit

import (
	"sync"
	"time"

	"imgbuild/init/base/module"
	"imgbuild/init/base/report"
	"imgbuild/init/base/uevent"
)

// Hotplug loads the modules that devices ask for, those that are there and those that come.
type Hotplug struct {
	t           report.Reporter
	words       module.Words
	mu          sync.Mutex
	loader      *module.Loader
	seen        map[string]bool
	block       chan struct{}
	subscribers []func(uevent.Event)
}

// NewHotplug returns one without modules, for a machine whose kernel was given these words.
func NewHotplug(t report.Reporter, w module.Words) *Hotplug {
	return &Hotplug{t: t, words: w, seen: map[string]bool{}, block: make(chan struct{}, 1)}
}

// Use takes the modules of another directory from now on: first the initramfs's, later the
// system's.
func (h *Hotplug) Use(dir string) error {
	x, err := module.Open(dir)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.loader, h.seen = module.NewLoader(x, h.words), map[string]bool{}
	return nil
}

// Has reports whether a module is among those in use.
func (h *Hotplug) Has(name string) bool { h.mu.Lock(); defer h.mu.Unlock(); return h.loader.Has(name) }

// Load loads a module by name with parameters.
func (h *Hotplug) Load(name string, params ...string) error {
	h.mu.Lock()
	l := h.loader
	h.mu.Unlock()
	return l.Load(name, params...)
}

// Coldplug loads the modules of all devices that are there, those of first (a directory of the
// kernel's tree, such as drivers/watchdog) before the others; done is called in between. Devices
// that appear because of it are handled by Listen.
func (h *Hotplug) Coldplug(first string, done func()) {
	h.mu.Lock()
	l := h.loader
	h.mu.Unlock()
	present := uevent.Present("/sys")
	for _, alias := range present {
		for _, m := range l.Match(alias) {
			if first != "" && l.In(m, first) {
				if err := l.Load(m); err != nil {
					h.t.Say("%v", err)
				}
			}
		}
	}
	if done != nil {
		done()
	}
	for _, alias := range present {
		h.device(alias)
	}
}

// device loads what claims the modalias, once.
func (h *Hotplug) device(alias string) {
	h.mu.Lock()
	l, done := h.loader, h.seen[alias]
	h.seen[alias] = true
	h.mu.Unlock()
	if done {
		return
	}
	if _, err := l.Coldplug(alias); err != nil {
		h.t.Say("device %s: %v", alias, err)
	}
}

// Listen receives the kernel's events from now on.
func (h *Hotplug) Listen() error { return uevent.Listen(h.event) }

// event loads what a new device asks for, wakes WaitBlock for a block device, and passes the event
// on.
func (h *Hotplug) event(ev uevent.Event) {
	if alias := ev["MODALIAS"]; alias != "" && ev["ACTION"] == "add" {
		h.device(alias)
	}
	if ev["SUBSYSTEM"] == "block" {
		select {
		case h.block <- struct{}{}:
		default:
		}
	}
	h.mu.Lock()
	subscribers := h.subscribers
	h.mu.Unlock()
	for _, f := range subscribers {
		f(ev)
	}
}

// Subscribe adds a listener; it must not block.
func (h *Hotplug) Subscribe(f func(uevent.Event)) {
	h.mu.Lock()
	h.subscribers = append(h.subscribers, f)
	h.mu.Unlock()
}

// WaitBlock waits until a block device changed, at most d.
func (h *Hotplug) WaitBlock(d time.Duration) {
	select {
	case <-h.block:
	case <-time.After(d):
	}
}
