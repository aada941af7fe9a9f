package crash

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const who = "slot a, system 20261121-7271e76d, program x, booted 2026-11-22T17:00:00Z"

func TestSplit(t *testing.T) {
	clean := empty(who)
	if len(clean) != size {
		t.Errorf("got %d bytes, want %d", len(clean), size)
	}
	if f := split(clean); f.Who != who || f.Failed() {
		t.Errorf("a boot that is well: %+v", f)
	}
	after := clean
	copy(after[head:], "panic: x\n\ngoroutine 1 [running]:\nmain.main()\n")
	if f := split(after); f.Who != who || f.Words != "panic: x\n\ngoroutine 1 [running]:\nmain.main()" {
		t.Errorf("got %+v", f)
	}
	for words, want := range map[string]string{
		"panic: x\n\ngoroutine 1 [running]:": "panic: x",
		"goroutine 92 [running]:\ninternal/sync.fatal({0x5a9f66?, 0x525c80?})\n\truntime/panic.go:1191 +0x20": "error of the runtime in internal/sync.fatal",
		"goroutine 9": "error of the runtime in ",
		"":            "",
	} {
		if got := (Found{Words: words}).Gist(); got != want {
			t.Errorf("%q: got %q, want %q", words, got, want)
		}
	}
	// Cut short by a power cut, or by somebody.
	for _, n := range []int{0, 1, 100, head, head + 1} {
		if f := split(empty(who)[:n]); f.Failed() {
			t.Errorf("%d bytes: %+v", n, f)
		}
	}
	if long := empty(strings.Repeat("x", 2*head)); len(long) != size || split(long).Failed() {
		t.Errorf("a long head becomes last words")
	}
}

// A boot's record is found by the next one, kept, and found only once.
func TestLife(t *testing.T) {
	dir := t.TempDir()
	path, kept := filepath.Join(dir, "crash"), filepath.Join(dir, "log", "crash.log")
	if f, err := Take(path, kept); err != nil || f.Failed() {
		t.Errorf("the first boot of all: %+v, %v", f, err)
	}
	for _, words := range []string{"panic: one", "panic: two"} {
		var c File
		c.Write("not armed: goes nowhere")
		if err := c.Arm(path, who); err != nil {
			t.Fatal(err)
		}
		if f, err := Take(path, kept); err != nil || f.Failed() {
			t.Errorf("a boot that is well: %+v, %v", f, err)
		}
		if err := c.Rename(who[:len(who)-1] + ", renamed"); err != nil {
			t.Fatal(err)
		}
		if err := c.Rename(who); err != nil { // nothing is left of a longer name
			t.Fatal(err)
		}
		c.Write(words + strings.Repeat("\n", size)) // more than there is space for
		c.Close()
		c.Write("closed: goes nowhere")
		if f, err := Take(path, kept); err != nil || f.Who != who || f.Words != words {
			t.Errorf("got %+v, %v, want %q", f, err, words)
		}
		if f, err := Take(path, kept); err != nil || f.Failed() {
			t.Errorf("found twice: %+v, %v", f, err)
		}
	}
	for name, want := range map[string]string{"": "two", ".1": "one"} {
		if got, err := os.ReadFile(kept + name); err != nil || string(got) != who+"\n\npanic: "+want+"\n" {
			t.Errorf("crash.log%s: got %q, %v", name, got, err)
		}
	}
	if err := new(File).Rename(who); err != nil {
		t.Errorf("not armed: %v", err)
	}
	if _, err := Take(dir, kept); err == nil {
		t.Error("a directory was read")
	}
	if err := new(File).Arm(filepath.Join(dir, "no", "crash"), who); err == nil {
		t.Error("armed where there is no directory")
	}
}
