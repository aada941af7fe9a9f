package report

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"imgbuild/init/contract/fault"
)

func TestText(t *testing.T) {
	r := &Report{}
	r.Fact("machine", "Raspberry Pi 4 Model B")
	r.Fact("slot", "a")
	r.Fact("slot", "b")
	r.Step("preinit", 420*time.Millisecond, true)
	r.Step("layout", 3*time.Second, false)
	p := From("layout", fault.New(fault.Device, "replace the card", "the data partition\nis damaged: %w", errors.New("EIO")))
	if !r.Add(p) || r.Add(p) {
		t.Error("a problem is reported once")
	}
	text := string(r.Text())
	for _, want := range []string{"machine:    Raspberry Pi 4 Model B\r\n", "slot:       b\r\n", "Problem 1 of 1 (step layout)\r\n",
		"What went wrong: the data partition is damaged: EIO\r\n", "How to fix it:   replace the card\r\n", "preinit      ok        0.42 s\r\n", "layout       FAILED    3.00 s\r\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	r.Drop("layout")
	if text = string(r.Text()); !strings.Contains(text, "No problems.") {
		t.Errorf("a problem that is over is still reported:\n%s", text)
	}
}

// FuzzText puts anything into a report: lines stay within the width, and nothing is longer than the
// file.
func FuzzText(f *testing.F) {
	f.Add("what", "fix", "a value")
	f.Add(strings.Repeat("long", 100), "ä ö ü "+strings.Repeat("ß", 200), "x\r\ny")
	f.Fuzz(func(t *testing.T, what, fix, value string) {
		if !utf8.ValidString(what + fix + value) {
			return
		}
		r := &Report{}
		r.Fact("name", value)
		r.Add(Problem{Step: "config", What: oneLine(what), Fix: oneLine(fix)})
		text := r.Text()
		if len(text) > Size {
			t.Fatalf("%d bytes", len(text))
		}
		for _, line := range strings.Split(string(text), "\r\n") {
			if n := utf8.RuneCountInString(line); n > Width {
				t.Errorf("%d columns: %q", n, line)
			}
		}
	})
}

func TestTextFits(t *testing.T) {
	r := &Report{}
	for i := range 3000 {
		r.Add(Problem{Step: "config", What: fmt.Sprintf("problem number %d %s", i, strings.Repeat("word ", 20))})
	}
	if n := len(r.Text()); n != Size {
		t.Errorf("%d bytes, want %v", n, Size)
	}
}

func TestFromPlainError(t *testing.T) {
	p := From("x", errors.New("a\n b"))
	if p.What != "a b" || p.Fix != "" {
		t.Errorf("%+v, want What %q and Fix %q", p, "a b", "")
	}
	p = From("x", fmt.Errorf("outer: %w", fault.New(fault.Input, "do this", "inner")))
	if p.What != "outer: inner" || p.Fix != "do this" {
		t.Errorf("%+v, want What %q and Fix %q", p, "outer: inner", "do this")
	}
}

func TestConsoles(t *testing.T) {
	dir := t.TempDir()
	os.MkdirAll(dir+"/sys/class/tty/console", 0o755)
	os.WriteFile(dir+"/sys/class/tty/console/active", []byte("tty0 ttyAMA0 ttyGone\n"), 0o644)
	os.Mkdir(dir+"/dev", 0o755)
	for _, name := range []string{"tty0", "ttyAMA0", "kmsg"} {
		os.WriteFile(dir+"/dev/"+name, nil, 0o644)
	}
	c := NewConsole()
	c.Open(dir+"/sys", dir+"/dev")
	c.Step("preinit", 420*time.Millisecond)
	c.Problem(Problem{What: "w", Fix: "f"})
	want := "shelf: step preinit ok 0.42s\r\nshelf: PROBLEM what went wrong: w\r\nshelf: PROBLEM how to fix it: f\r\n"
	for _, name := range []string{"tty0", "ttyAMA0"} {
		if got, _ := os.ReadFile(filepath.Join(dir, "dev", name)); string(got) != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if got, _ := os.ReadFile(dir + "/dev/kmsg"); !strings.HasPrefix(string(got), "<7>shelf: step preinit ok 0.42s\n") {
		t.Errorf("kmsg: %q", got)
	}
}

func TestFindLED(t *testing.T) {
	dir := t.TempDir()
	for name, trigger := range map[string]string{"mmc0::": "[none] mmc0", "ACT": "none [mmc0] timer", "PWR": "[default-on] none"} {
		os.MkdirAll(dir+"/class/leds/"+name, 0o755)
		os.WriteFile(dir+"/class/leds/"+name+"/trigger", []byte(trigger), 0o644)
		os.WriteFile(dir+"/class/leds/"+name+"/brightness", []byte("0"), 0o644)
	}
	l := FindLED(dir)
	if l == nil || filepath.Base(l.dir) != "ACT" || l.trigger != "mmc0" {
		t.Fatalf("%+v", l)
	}
	var none *LED
	none.Blink(3)
	none.Stop()
	if FindLED(t.TempDir()) != nil {
		t.Error("a LED where there is none")
	}
}

// hostile are the bytes that a service, a disk or a server may put into its name or its output.
const hostile = "\x1b[2J\x1b]0;title\a \x9b31m \u009b1m user\u202egnp.exe\x7f\x00\b\xff"

// controls returns what of a text would control a terminal, except for line ends.
func controls(text string) string {
	var found strings.Builder
	for _, r := range strings.ReplaceAll(text, "\r\n", "\n") {
		if r < ' ' && r != '\n' || r >= 0x7f && r <= 0x9f || r == 0x202e || r == utf8.RuneError {
			fmt.Fprintf(&found, "%q ", r)
		}
	}
	return found.String()
}

// TestNothingControlsATerminal: no text reaches a console, the kernel's log or the report with
// bytes that control a terminal, and none makes a line of its own there.
func TestNothingControlsATerminal(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"sys/class/tty/console/active": "tty0\n", "dev/tty0": "", "dev/kmsg": ""} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	c := NewConsole()
	c.Open(dir+"/sys", dir+"/dev")
	c.Printf("service %s failed: %s", hostile, "one\nshelf: ready")
	c.Problem(From("x", fault.New(fault.Input, hostile, "disk %s", hostile)))
	c.Step(hostile, time.Second)
	c.Log("%s\nshelf: ready", hostile)
	r := &Report{}
	r.State(hostile)
	r.Fact("name", hostile)
	r.Add(From("x", fault.New(fault.Input, hostile, "disk %s", hostile)))
	texts := map[string]string{"report": string(r.Text())}
	for _, name := range []string{"tty0", "kmsg"} {
		text, err := os.ReadFile(filepath.Join(dir, "dev", name))
		if err != nil {
			t.Fatal(err)
		}
		texts[name] = string(text)
		if strings.Contains(texts[name], "\nshelf: ready") {
			t.Errorf("%s: a text makes a line of its own:\n%q", name, text)
		}
	}
	for name, text := range texts {
		if got := controls(text); got != "" {
			t.Errorf("%s has %s:\n%q", name, got, text)
		}
		if !strings.Contains(text, `\x1b[2J`) || !strings.Contains(text, `\u202e`) {
			t.Errorf("%s does not show the text:\n%q", name, text)
		}
	}
}
