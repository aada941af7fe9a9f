package main

import (
	"testing"

	"imgbuild/qemu/fixtures/pages"
)

// Every command that the documentation shows is one that shelf takes.
func TestCommandsInDocs(t *testing.T) {
	commands, err := pages.Commands("../..", "shelf")
	if err != nil {
		t.Fatal(err)
	}
	if len(commands) < 20 {
		t.Fatalf("got %d commands, want the 20 and more of the pages", len(commands))
	}
	for _, c := range commands {
		if _, err := shelf().Parse(c.Words); err != nil {
			t.Errorf("%s: shelf %q: %v", c.Page, c.Words, err)
		}
	}
}
