package main

import (
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"imgbuild/init/contract/terminal"
)

// screen shows what is going on: one bar per long step on a terminal, one line per step elsewhere.
type screen struct {
	mu   sync.Mutex
	w    *os.File
	tty  bool
	step string
	bar  *progressbar.ProgressBar
}

func newScreen(w *os.File) *screen {
	return &screen{w: w, tty: term.IsTerminal(int(w.Fd()))}
}

var stepTexts = map[string]string{"index": "reading the archive's index", "packages": "fetching packages", "unpack": "reading packages",
	"squashfs": "compressing the root", "pack": "packing the image", "k3s": "fetching k3s"}

// Progress moves the bar of a step; the first call of a step begins it and ends the one before.
func (s *screen) Progress(step string, done, total int64) {
	if strings.HasPrefix(step, "decode ") {
		return // part of reading packages
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	text := stepTexts[step]
	if text == "" {
		text = step
	}
	if s.step != step {
		s.finish()
		s.step = step
		if !s.tty {
			fmt.Fprintln(s.w, text)
		} else {
			opts := []progressbar.Option{progressbar.OptionSetWriter(s.w), progressbar.OptionSetDescription(fmt.Sprintf("%-28s", text)),
				progressbar.OptionSetWidth(30), progressbar.OptionClearOnFinish(), progressbar.OptionThrottle(100e6)}
			if step != "unpack" {
				opts = append(opts, progressbar.OptionShowBytes(true))
			}
			s.bar = progressbar.NewOptions64(max(total, 1), opts...)
		}
	}
	if s.bar != nil {
		s.bar.ChangeMax64(max(total, 1))
		_ = s.bar.Set64(min(done, max(total, 1))) // a bar that cannot be drawn is no reason to stop
	}
}

func (s *screen) finish() {
	if s.bar != nil {
		_ = s.bar.Finish()
		s.bar = nil
	}
	s.step = ""
}

// done ends the last bar.
func (s *screen) done() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finish()
}

// Warn shows something that must not be missed.
func (s *screen) Warn(lines ...string) {
	if len(lines) == 0 {
		return
	}
	s.done()
	fmt.Fprintln(s.w, terminal.Text("WARNING: "+lines[0]))
	for _, l := range lines[1:] {
		fmt.Fprintln(s.w, terminal.Text("         "+l))
	}
}

func size(n int64) string {
	switch {
	case n >= 10<<30:
		return fmt.Sprintf("%d GiB", n>>30)
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%d KiB", (n+1023)/1024)
}
