package main

import (
	"regexp"
	"strings"
)

// A row is one line of a table of docs/PROOF.md: demand, what, proof, commit, result.
type row struct {
	line  int // from 1
	cells []string
}

// Tests are named in backticks as PACKAGE.TestName or PACKAGE.TestName/subtest, commands as `make
// ...`.
var (
	testName = regexp.MustCompile("`([a-z0-9/]+)\\.((?:Test|Fuzz|Benchmark)[A-Za-z0-9_]+)(?:/[^`]*)?`")
	makeName = regexp.MustCompile("`make ([a-z-]+)")
	verdicts = regexp.MustCompile(`^(passed|open|not possible, because .+|[0-9].*)`)
)

// A test is named by its package, relative to the module, and its function.
type test struct{ pkg, name string }

func rows(text string) (all []row) {
	for i, line := range strings.Split(text, "\n") {
		cells := strings.Split(strings.Trim(line, "| "), "|")
		for j := range cells {
			cells[j] = strings.TrimSpace(cells[j])
		}
		if strings.HasPrefix(line, "|") && len(cells) >= 5 && !strings.HasPrefix(cells[0], "-") && cells[0] != "demand" {
			all = append(all, row{i + 1, cells})
		}
	}
	return all
}

func (r row) tests() (named []test) {
	for _, m := range testName.FindAllStringSubmatch(r.cells[2], -1) {
		named = append(named, test{m[1], m[2]})
	}
	return named
}

func (r row) targets() (named []string) {
	for _, m := range makeName.FindAllStringSubmatch(r.cells[2], -1) {
		named = append(named, m[1])
	}
	return named
}

func (r row) verdict() string { return r.cells[len(r.cells)-1] }

// full reports whether the row holds only for a run of all rows on all boards, make test-full.
func (r row) full() bool { return strings.Contains(r.cells[1], "(FULL)") }

// open reports whether the row promises nothing that a run could show.
func (r row) open() bool {
	return strings.HasPrefix(r.verdict(), "open") || strings.HasPrefix(r.verdict(), "not possible")
}

// with returns the row's line with another commit and result. What a row has besides its result
// stays: the note after "passed", and a figure, which no test measures again.
func (r row) with(commit, result string) string {
	cells := append([]string{}, r.cells...)
	was := r.verdict()
	_, note, noted := strings.Cut(was, "; ")
	switch {
	case strings.HasPrefix(was, "passed"):
		result += strings.TrimPrefix(was, "passed")
	case !strings.HasPrefix(was, "failed"): // a figure
		if result == "passed" {
			result = was
		} else {
			result += "; " + was
		}
	case noted:
		result += "; " + note
	}
	cells[len(cells)-2], cells[len(cells)-1] = commit, result
	return "| " + strings.Join(cells, " | ") + " |"
}
