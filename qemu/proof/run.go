package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"sort"
	"strings"
)

// event is what `go test -json` prints; see `go doc test2json`.
type event struct{ Action, Package, Test string }

// results are the ends of the tests of a run: pass, fail or skip. A test that never ended is
// absent.
type results map[test]string

func (r results) add(output []byte) {
	for _, line := range bytes.Split(output, []byte("\n")) {
		var e event
		if json.Unmarshal(line, &e) != nil || e.Test == "" || strings.Contains(e.Test, "/") {
			continue
		}
		switch e.Action {
		case "pass", "fail", "skip":
			r[test{strings.TrimPrefix(e.Package, "imgbuild/"), e.Test}] = e.Action
		}
	}
}

// runTests runs the tests that the rows name, package by package, and returns their ends. Rows of
// the full run are left out unless full is set; only limits it to packages that contain the word.
func runTests(all []row, full bool, only string) results {
	named := map[string]map[string]bool{}
	for _, r := range all {
		if r.open() || r.full() && !full {
			continue
		}
		for _, t := range r.tests() {
			if !strings.Contains(t.pkg, only) {
				continue
			}
			if named[t.pkg] == nil {
				named[t.pkg] = map[string]bool{}
			}
			named[t.pkg][t.name] = true
		}
	}
	ended := results{}
	for _, pkg := range sorted(named) {
		fmt.Fprintf(os.Stderr, "%s: %d tests\n", pkg, len(named[pkg]))
		cmd := exec.Command("go", "test", "-json", "-count=1", "-timeout", "180m", "-run", "^("+strings.Join(sorted(named[pkg]), "|")+")$", "imgbuild/"+pkg)
		cmd.Env = os.Environ()
		if full {
			cmd.Env = append(cmd.Env, "IMGBUILD_FULL=1")
		}
		output, _ := cmd.Output() // the results of the tests are more than the exit code
		ended.add(output)
	}
	return ended
}

// update writes the commit and the result of each row whose tests all ended.
func update(text string, all []row, ended results, commit string, full bool) (string, int) {
	lines, changed := strings.Split(text, "\n"), 0
	for _, r := range all {
		if r.open() || r.full() && !full || len(r.tests()) == 0 {
			continue
		}
		var failed []string
		missing := false
		for _, t := range r.tests() {
			switch ended[t] {
			case "pass":
			case "":
				missing = true
			default:
				failed = append(failed, t.pkg+"."+t.name)
			}
		}
		switch {
		case failed != nil:
			lines[r.line-1] = r.with(commit, "failed: "+strings.Join(failed, ", "))
		case missing:
			continue
		default:
			lines[r.line-1] = r.with(commit, "passed")
		}
		changed++
	}
	return strings.Join(lines, "\n"), changed
}

func sorted[V any](m map[string]V) (keys []string) {
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
