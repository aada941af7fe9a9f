package preinit

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"imgbuild/init/base/guard"
	"imgbuild/init/contract/config"

	"golang.org/x/sys/unix"
)

// Watchdog resets the board when the node hangs. PID 1 feeds it as long as somebody vouches for
// progress: each step of the boot gets a limit, and from then on the supervisor keeps it without
// one. It is opened before anything else can hang. A nil Watchdog does nothing.
type Watchdog struct {
	f     *os.File
	mu    sync.Mutex
	until time.Time // zero: no limit
}

// Seconds that the hardware is asked for; a driver that cannot count so far feeds it by itself in
// between.
const watchdogSeconds = 60

// OpenWatchdog arms the first watchdog and feeds it from now on. None is an error.
func OpenWatchdog(dev string) (*Watchdog, error) {
	f, err := os.OpenFile(filepath.Join(dev, "watchdog0"), os.O_WRONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("watchdog: %w", err)
	}
	if err := unix.IoctlSetPointerInt(int(f.Fd()), unix.WDIOC_SETTIMEOUT, watchdogSeconds); err != nil {
		// Some can only count to a few seconds and report that; their own time will do.
		_ = err
	}
	w := &Watchdog{f: f}
	guard.Go(w.feed)
	return w, nil
}

func (w *Watchdog) feed() {
	for {
		w.mu.Lock()
		f, alive := w.f, w.until.IsZero() || time.Now().Before(w.until)
		if f == nil {
			w.mu.Unlock()
			return
		}
		if alive {
			_, _ = f.Write([]byte{0})
		}
		w.mu.Unlock()
		time.Sleep(4 * time.Second)
	}
}

// Limit lets the board be reset unless Limit is called again within d; 0 takes the limit away.
func (w *Watchdog) Limit(d time.Duration) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.until = time.Time{}
	if d > 0 {
		w.until = time.Now().Add(d) // monotonic: a step of the clock does not touch it
	}
}

// Close disarms it, before the power is switched off; where the driver cannot be disarmed the board
// comes back up.
func (w *Watchdog) Close() {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.f != nil {
		_, _ = w.f.Write([]byte{'V'})
		w.f.Close()
		w.f = nil
	}
}

// watchdogAllowed reports whether the watchdog may be opened, and if not why. shelf.watchdog=off
// forbids it. So does a Raspberry Pi's device tree without the marks that every real firmware sets:
// then it is an emulator, whose watchdog resets the machine immediately.
func watchdogAllowed(c Cmdline, compatible []string, firmwareMarks bool) (bool, string) {
	if on, known := config.Truth(c["shelf.watchdog"]); known && !on {
		return false, "shelf.watchdog=off"
	}
	for _, name := range compatible {
		if strings.HasPrefix(name, "raspberrypi,") && !firmwareMarks {
			return false, "this Raspberry Pi is an emulated one"
		}
	}
	return true, ""
}
