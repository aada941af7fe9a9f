package main

import (
	"fmt"
	"os/exec"
	"regexp"
	"sort"
	"strings"
)

// check holds the rows against the tree: each has a result, and its tests and targets exist. It
// returns one problem per string.
func check(all []row, makefile []byte) (problems []string, tests int, err error) {
	bad := func(line int, text string, args ...any) {
		problems = append(problems, fmt.Sprintf("line %d: %s", line, fmt.Sprintf(text, args...)))
	}
	named := map[string]map[string]int{} // package -> test -> line
	for _, r := range all {
		if !verdicts.MatchString(r.verdict()) {
			bad(r.line, "the result %q is neither passed, open, a figure nor \"not possible, because\"", r.verdict())
		}
		if strings.HasPrefix(r.verdict(), "open") {
			continue
		}
		for _, t := range r.tests() {
			if named[t.pkg] == nil {
				named[t.pkg] = map[string]int{}
			}
			named[t.pkg][t.name] = r.line
		}
		for _, target := range r.targets() {
			if !regexp.MustCompile(`(?m)^` + target + `:`).Match(makefile) {
				bad(r.line, "the Makefile has no target %s", target)
			}
		}
		if len(r.tests())+len(r.targets()) == 0 && !r.open() {
			bad(r.line, "the row names neither a test nor a make target")
		}
	}
	for pkg, names := range named {
		out, err := exec.Command("go", "test", "-list", ".", "imgbuild/"+pkg).CombinedOutput()
		if err != nil {
			for name, line := range names {
				bad(line, "%s.%s: no such package: %s", pkg, name, strings.TrimSpace(string(out)))
			}
			continue
		}
		have := strings.Fields(string(out))
		for name, line := range names {
			tests++
			if !contains(have, name) {
				bad(line, "%s has no %s", pkg, name)
			}
		}
	}
	sort.Strings(problems)
	return problems, tests, nil
}

func contains(all []string, one string) bool {
	for _, s := range all {
		if s == one {
			return true
		}
	}
	return false
}

// skips lists the lines of test files that skip a test.
func skips() string {
	out, _ := exec.Command("git", "grep", "-nE", `\.(Skip|SkipNow|Skipf)\(`, "--", "*_test.go").Output()
	return string(out)
}
