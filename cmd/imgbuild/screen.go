package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"imgbuild/cmd/line"
	"imgbuild/init/contract/mask"
	"imgbuild/init/contract/terminal"
)

// widest is the most columns that a line of imgbuild has, except for words that are longer.
const widest = 100

// screen shows what is going on: a bar for the long step that runs, on a terminal, and a line for
// each one that ended.
type screen struct {
	mu     sync.Mutex
	w      *os.File
	tty    bool
	width  int
	colour bool
	now    func() time.Time

	// phases are the steps to come, which are then numbered; nil where their number is not known.
	phases []string
	// hold keeps warnings until warnings is called.
	hold bool
	held [][]string

	step  string
	began time.Time
	total int64
	bar   *progressbar.ProgressBar
}

func newScreen(w *os.File) *screen {
	s := &screen{w: w, tty: term.IsTerminal(int(w.Fd())), width: widest, now: time.Now}
	if s.tty {
		s.width = min(widest, line.Columns(w))
		_, plain := os.LookupEnv("NO_COLOR")
		s.colour = !plain && os.Getenv("TERM") != "dumb"
	}
	return s
}

var stepTexts = map[string]string{"index": "reading the archive's index", "packages": "fetching packages", "unpack": "reading packages",
	"squashfs": "compressing the root", "pack": "packing the image", "k3s": "fetching k3s",
	"probe": "trying the card", "write": "writing the card", "compare": "comparing the card"}

// Progress moves the bar of a step; the first call of a step begins it and ends the one before.
func (s *screen) Progress(step string, done, total int64) {
	if strings.HasPrefix(step, "decode ") {
		return // part of reading packages
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.step != step {
		s.finish()
		s.step, s.began = step, s.now()
		if s.tty {
			opts := []progressbar.Option{progressbar.OptionSetWriter(s.w), progressbar.OptionSetDescription(fmt.Sprintf("%-34s", s.heading())),
				progressbar.OptionSetWidth(24), progressbar.OptionClearOnFinish(), progressbar.OptionThrottle(100e6)}
			if step != "unpack" {
				opts = append(opts, progressbar.OptionShowBytes(true))
			}
			s.bar = progressbar.NewOptions64(max(total, 1), opts...)
		}
	}
	s.total = max(total, done)
	if s.bar != nil {
		s.bar.ChangeMax64(max(total, 1))
		_ = s.bar.Set64(min(done, max(total, 1))) // a bar that cannot be drawn is no reason to stop
	}
}

// heading is the number and the text of the step.
func (s *screen) heading() string {
	text := stepTexts[s.step]
	if text == "" {
		text = s.step
	}
	if i := slices.Index(s.phases, s.step); i >= 0 {
		text = fmt.Sprintf("%d of %d  %s", i+1, len(s.phases), text)
	}
	return text
}

// finish ends the step and leaves its line.
func (s *screen) finish() {
	if s.bar != nil {
		_ = s.bar.Finish()
		s.bar = nil
	}
	if s.step == "" {
		return
	}
	amount := size(s.total)
	if s.step == "unpack" {
		amount = fmt.Sprintf("%d packages", s.total)
	}
	fmt.Fprintln(s.w, terminal.Line(fmt.Sprintf("%-34s %7.1f s  %s", s.heading(), s.now().Sub(s.began).Seconds(), amount)))
	s.step = ""
}

// Done ends the last step.
func (s *screen) Done() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finish()
}

// Warn shows something that must not be missed.
func (s *screen) Warn(lines ...string) {
	if len(lines) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = append(s.held, lines)
	if !s.hold {
		s.finish()
		s.show()
	}
}

// warnings shows those that were held back.
func (s *screen) warnings() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.show()
}

func (s *screen) show() {
	if len(s.held) == 0 {
		return
	}
	if s.hold {
		fmt.Fprintln(s.w)
	}
	for _, lines := range s.held {
		const head = "warning: "
		for i, l := range lines {
			prefix := strings.Repeat(" ", len(head))
			if i == 0 {
				prefix = s.paint("33", head)
			}
			fmt.Fprintln(s.w, prefix+line.Fold(terminal.Text(mask.Prose(l)), len(head), s.width))
		}
	}
	s.held = nil
}

// paint returns a text in a colour, where there are any.
func (s *screen) paint(colour, text string) string {
	if !s.colour {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// fail shows an error.
func (s *screen) fail(what, fix string) {
	fmt.Fprint(s.w, line.Failure(what, fix, s.width, func(heading string) string { return s.paint("31", heading) }))
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
