package report

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"time"

	"imgbuild/init/contract/mask"
	"imgbuild/init/contract/terminal"
)

// Size is the size of report.txt on BOOT in bytes; it is preallocated and never changes.
const Size = 64 << 10

// Width is the number of columns of the text.
const Width = 78

// Report collects the messages of one boot. It may be used from several goroutines.
type Report struct {
	mu       sync.Mutex
	facts    [][2]string
	steps    []step
	problems []Problem
	state    string
	hide     *mask.Scrubber
}

// Hide keeps secrets out of the report from now on, and takes them out of what is in it.
func (r *Report) Hide(s *mask.Scrubber) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hide, r.state = s, s.Prose(r.state)
	for i := range r.facts {
		r.facts[i][1] = s.Prose(r.facts[i][1])
	}
	for i, p := range r.problems {
		r.problems[i].What, r.problems[i].Fix = s.Prose(p.What), s.Prose(p.Fix)
	}
}

// Clean returns a text without secrets, for other places that show what went wrong.
func (r *Report) Clean(text string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.hide.Prose(text)
}

type step struct {
	name string
	took time.Duration
	ok   bool
}

// Fact sets a line of the head, such as version or slot. The order of the first setting stays.
func (r *Report) Fact(name, value string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	value = r.clean(value)
	for i := range r.facts {
		if r.facts[i][0] == name {
			r.facts[i][1] = value
			return
		}
	}
	r.facts = append(r.facts, [2]string{name, value})
}

// clean returns a text on one line, without secrets and without what would control a terminal. The
// lock is held.
func (r *Report) clean(s string) string { return terminal.Line(r.hide.Prose(oneLine(s))) }

// State sets the sentence at the top: the state of the node.
func (r *Report) State(s string) { r.mu.Lock(); r.state = r.clean(s); r.mu.Unlock() }

// Step notes a step that ended.
func (r *Report) Step(name string, took time.Duration, ok bool) {
	r.mu.Lock()
	r.steps = append(r.steps, step{name, took, ok})
	r.mu.Unlock()
}

// Add notes a problem; one that is there already is not added again and returns false.
func (r *Report) Add(p Problem) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	p.What, p.Fix = r.clean(p.What), r.clean(p.Fix)
	for _, have := range r.problems {
		if have.What == p.What {
			return false
		}
	}
	r.problems = append(r.problems, p)
	return true
}

// Drop forgets the problems of a step, when it was tried again and went well.
func (r *Report) Drop(step string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	kept := r.problems[:0]
	for _, p := range r.problems {
		if p.Step != step {
			kept = append(kept, p)
		}
	}
	r.problems = kept
}

// Problems returns a copy of what went wrong so far.
func (r *Report) Problems() []Problem {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Problem(nil), r.problems...)
}

// Text is the report, at most Size bytes, lines of at most Width columns ended as every system
// likes them.
func (r *Report) Text() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b bytes.Buffer
	title := "ShelfOS boot report"
	fmt.Fprintf(&b, "%s\n%s\n\n", title, strings.Repeat("=", len(title)))
	if r.state != "" {
		write(&b, "", r.state)
		b.WriteByte('\n')
	}
	for _, f := range r.facts {
		write(&b, fmt.Sprintf("%-12s", f[0]+":"), f[1])
	}
	for i, p := range r.problems {
		head := fmt.Sprintf("Problem %d of %d (step %s)", i+1, len(r.problems), p.Step)
		fmt.Fprintf(&b, "\n%s\n%s\n", head, strings.Repeat("-", len(head)))
		write(&b, "What went wrong: ", p.What)
		if p.Fix != "" {
			write(&b, "How to fix it:   ", p.Fix)
		}
	}
	if len(r.problems) == 0 {
		b.WriteString("\nNo problems.\n")
	}
	if len(r.steps) > 0 {
		b.WriteString("\nSteps\n-----\n")
	}
	for _, s := range r.steps {
		verdict := "ok"
		if !s.ok {
			verdict = "FAILED"
		}
		fmt.Fprintf(&b, "%-12s %-6s %7.2f s\n", s.name, verdict, s.took.Seconds())
	}
	text := bytes.ReplaceAll(b.Bytes(), []byte("\n"), []byte("\r\n"))
	if len(text) > Size {
		text = text[:Size]
	}
	return text
}

// write writes text after a label, wrapped at Width, the following lines indented as far as the
// label. Words that are longer than a line are cut.
func write(b *bytes.Buffer, label, text string) {
	b.WriteString(label)
	indent, col := len(label), len(label)
	for _, word := range strings.Fields(text) {
		runes := []rune(word)
		for len(runes) > 0 {
			space := Width - col
			if col > indent {
				space-- // for the space
			}
			if len(runes) > space && col > indent {
				b.WriteString("\n" + strings.Repeat(" ", indent))
				col = indent
				continue
			}
			if col > indent {
				b.WriteByte(' ')
				col++
			}
			n := min(len(runes), space)
			b.WriteString(string(runes[:n]))
			runes = runes[n:]
			col += n
		}
	}
	b.WriteByte('\n')
}

// Reporter writes the same message to the consoles and to the report, in the name of a step.
type Reporter struct {
	Console *Console
	Report  *Report
	Step    string
}

// For returns the reporter of another step.
func (t Reporter) For(step string) Reporter { t.Step = step; return t }

// Hide keeps secrets out of all messages from now on.
func (t Reporter) Hide(s *mask.Scrubber) {
	t.Console.Hide(s)
	t.Report.Hide(s)
}

// Say prints a line on the consoles.
func (t Reporter) Say(format string, args ...any) { t.Console.Printf(format, args...) }

// Log notes a line for dmesg.
func (t Reporter) Log(format string, args ...any) { t.Console.Log(format, args...) }

// Problem reports what went wrong; nil is nothing. A problem that was reported is not reported
// again.
func (t Reporter) Problem(err error) {
	if err == nil {
		return
	}
	if p := From(t.Step, err); t.Report.Add(p) {
		t.Console.Problem(p)
	}
}
