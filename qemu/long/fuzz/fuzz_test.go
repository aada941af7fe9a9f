package main

import (
	"testing"

	"imgbuild/init/contract/fault"
)

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

// Every target is found, once, in its own package.
func TestList(t *testing.T) {
	t.Chdir("../../..")
	all, err := list(t.Context(), "")
	if err != nil || len(all) < 50 {
		t.Fatalf("%d targets, %v", len(all), err)
	}
	seen := map[target]bool{}
	for _, one := range all {
		if seen[one] {
			t.Errorf("%v is there twice", one)
		}
		seen[one] = true
	}
	if !seen[target{"imgbuild/init/supervise", "FuzzNotice"}] || seen[target{"imgbuild/init", "FuzzNotice"}] {
		t.Errorf("%v", all)
	}
	some, err := list(t.Context(), "init/supervise.")
	if err != nil || len(some) != 1 {
		t.Errorf("%v, %v, want length 1", some, err)
	}
	if _, err := list(t.Context(), "nothing like this"); fault.Code(err) != int(fault.Usage) {
		t.Errorf("got %v", err)
	}
}
