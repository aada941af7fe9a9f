package main

import (
	"testing"

	"imgbuild/qemu/fixtures/pages"
)

// Every command that the documentation shows is one that this program takes.
func TestCommandsInDocs(t *testing.T) {
	commands, err := pages.Commands("../..", "imgbuild")
	if err != nil {
		t.Fatal(err)
	}
	if len(commands) < 30 {
		t.Fatalf("got %d commands, want the 30 and more of the pages", len(commands))
	}
	for _, c := range commands {
		if _, err := program().Parse(c.Words); err != nil {
			t.Errorf("%s: imgbuild %q: %v", c.Page, c.Words, err)
		}
	}
}
