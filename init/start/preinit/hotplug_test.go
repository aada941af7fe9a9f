package preinit

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"imgbuild/init/base/uevent"
)

// modules is a directory with the index of one module, which no kernel has.
func modules(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"modules.dep":   "kernel/drivers/watchdog/shelf_no_such.ko:\n",
		"modules.alias": "alias shelf:v1* shelf_no_such\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// A device is asked for once for each set of modules; its event reaches all that subscribed.
func TestEvent(t *testing.T) {
	h := NewHotplug(newReporter(), nil)
	if err := h.Use(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("modules of a directory that is not there are in use")
	}
	dir := modules(t)
	if err := h.Use(dir); err != nil {
		t.Fatal(err)
	}
	if !h.Has("shelf_no_such") || h.Has("other") {
		t.Error("got other modules than those of the directory")
	}
	var got []string
	for range 2 {
		h.Subscribe(func(ev uevent.Event) { got = append(got, ev["ACTION"]) })
	}
	h.event(uevent.Event{"ACTION": "remove", "MODALIAS": "shelf:v1", "SUBSYSTEM": "shelf"})
	if h.seen["shelf:v1"] {
		t.Error("a device that went away had its module loaded")
	}
	h.event(uevent.Event{"ACTION": "add", "MODALIAS": "shelf:v1", "SUBSYSTEM": "shelf"})
	if !h.seen["shelf:v1"] {
		t.Error("a device that came had no module loaded")
	}
	if want := []string{"remove", "remove", "add", "add"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if err := h.Use(dir); err != nil || h.seen["shelf:v1"] {
		t.Errorf("with other modules: got %v, and the device is not asked for again", err)
	}
	if err := h.Load("shelf_no_such"); err == nil {
		t.Error("a module without a file was loaded")
	}
	called := 0
	h.Coldplug("drivers/watchdog", func() { called++ })
	if called != 1 {
		t.Errorf("called %d times between the first modules and the others, want 1", called)
	}
}

// WaitBlock ends with the first event of a block device, or after its limit; an event that came
// before counts.
func TestWaitBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHotplug(newReporter(), nil)
		for range 3 {
			h.event(uevent.Event{"ACTION": "change", "SUBSYSTEM": "block"})
		}
		h.event(uevent.Event{"ACTION": "add", "SUBSYSTEM": "net"})
		for _, want := range []time.Duration{0, time.Minute} {
			began := time.Now()
			h.WaitBlock(time.Minute)
			if got := time.Since(began); got != want {
				t.Errorf("waited %v, want %v", got, want)
			}
		}
	})
}

// The watchdog is opened where there is one, and where opening it does no harm.
func TestOpensWatchdog(t *testing.T) {
	for name, c := range map[string]struct {
		device, marks bool
		compatible    string
		want          bool
	}{
		"a board":          {true, false, "hardkernel,odroid-xu4", true},
		"no device":        {false, false, "hardkernel,odroid-xu4", false},
		"a Raspberry Pi":   {true, true, "raspberrypi,4-model-b", true},
		"an emulated one":  {true, false, "raspberrypi,3-model-b", false},
		"nothing is known": {false, false, "", false},
	} {
		proc, dev := t.TempDir(), t.TempDir()
		if c.device {
			if err := os.WriteFile(filepath.Join(dev, "watchdog0"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if c.marks {
			dir := filepath.Join(proc, "device-tree/system")
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "linux,revision"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		s := &State{Compatible: []string{c.compatible}}
		s.watchdog(newReporter(), proc, dev)
		if got := s.Watchdog != nil; got != c.want {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
		s.Watchdog.Close()
	}
}
