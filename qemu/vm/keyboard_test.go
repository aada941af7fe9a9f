package vm

import (
	"io"
	"os"
	"strings"
	"testing"
)

// What is typed reaches the guest up to the key that ends the run, or up to the end of the input.
func TestUntil(t *testing.T) {
	for text, want := range map[string]string{"ls\r\x1dlater": "ls\r", "\x1d": "", "no end": "no end", "": ""} {
		stopped := make(chan bool, 1)
		got, err := io.ReadAll(until(strings.NewReader(text), 0x1d, func() { stopped <- true }))
		if err != nil || string(got) != want {
			t.Errorf("%q: got %q, %v, want %q", text, got, err, want)
		}
		<-stopped
	}
}

// A file is no keyboard.
func TestKeyboardOfAFile(t *testing.T) {
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	keys, restore := Keyboard(f, 0x1d, func() { t.Error("stopped") })
	defer restore()
	if keys != nil {
		t.Errorf("got %v, want nil", keys)
	}
}
