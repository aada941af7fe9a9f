package main

import "testing"

// A short time is a second, for go test takes 0 for ever.
func TestFuzztime(t *testing.T) {
	for minutes, want := range map[float64]string{0.001: "1s", 0.04: "2s", 1: "1m0s", 90: "1h30m0s"} {
		if got := fuzztime(minutes); got != want {
			t.Errorf("%g: got %s", minutes, got)
		}
	}
	if _, err := command.Parse([]string{"only=FuzzNotice", "minutes=2"}); err != nil {
		t.Error(err)
	}
}
