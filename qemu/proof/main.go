// Command proof reads docs/PROOF.md and checks that what it names is there: every row has a result, every test named in
// it exists and skips nothing. It fails where a row promises more than the tree holds.
package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"sort"
	"strings"
)

func main() {
	if err := run("docs/PROOF.md"); err != nil {
		fmt.Fprintln(os.Stderr, "proof:", err)
		os.Exit(1)
	}
}

// Tests are named in backticks as PACKAGE.TestName or PACKAGE.TestName/subtest, commands as `make ...`.
var (
	testName = regexp.MustCompile("`([a-z0-9/]+)\\.((?:Test|Fuzz|Benchmark)[A-Za-z0-9_]+)(?:/[^`]*)?`")
	makeName = regexp.MustCompile("`make ([a-z-]+)")
	result   = regexp.MustCompile(`^(passed|open|not possible, because .+|[0-9].*)`)
)

func run(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		return err
	}
	var problems []string
	bad := func(line int, text string, args ...any) {
		problems = append(problems, fmt.Sprintf("%s:%d: %s", file, line, fmt.Sprintf(text, args...)))
	}
	tests := map[string]map[string]int{} // package -> test -> line
	rows, open, n := 0, 0, 0
	for s := bufio.NewScanner(f); s.Scan(); {
		n++
		cells := strings.Split(strings.Trim(s.Text(), "| "), "|")
		if !strings.HasPrefix(s.Text(), "|") || len(cells) < 5 || strings.HasPrefix(strings.TrimSpace(cells[0]), "-") || strings.TrimSpace(cells[0]) == "demand" {
			continue
		}
		rows++
		proof, verdict := cells[2], strings.TrimSpace(cells[len(cells)-1])
		if !result.MatchString(verdict) {
			bad(n, "the result %q is neither passed, open, a figure nor \"not possible, because\"", verdict)
		}
		if strings.HasPrefix(verdict, "open") {
			open++
			continue
		}
		named := false
		for _, m := range testName.FindAllStringSubmatch(proof, -1) {
			named = true
			if tests[m[1]] == nil {
				tests[m[1]] = map[string]int{}
			}
			tests[m[1]][m[2]] = n
		}
		for _, m := range makeName.FindAllStringSubmatch(proof, -1) {
			named = true
			if !regexp.MustCompile(`(?m)^` + m[1] + `:`).Match(makefile) {
				bad(n, "there is no make %s", m[1])
			}
		}
		if !named && !strings.HasPrefix(verdict, "not possible") {
			bad(n, "the row names neither a test nor a make target")
		}
	}
	if rows == 0 {
		return fmt.Errorf("%s has no rows", file)
	}
	var pkgs []string
	for pkg := range tests {
		pkgs = append(pkgs, pkg)
	}
	sort.Strings(pkgs)
	count := 0
	for _, pkg := range pkgs {
		out, err := exec.Command("go", "test", "-list", ".", "./"+pkg).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s: %w\n%s", pkg, err, out)
		}
		have := map[string]bool{}
		for _, name := range strings.Fields(string(out)) {
			have[name] = true
		}
		for name, line := range tests[pkg] {
			count++
			if !have[name] {
				bad(line, "%s has no %s", pkg, name)
			}
		}
	}
	if skips, err := exec.Command("git", "grep", "-nE", `\.(Skip|SkipNow|Skipf)\(`, "--", "*_test.go").Output(); err == nil {
		bad(0, "tests skip:\n%s", skips)
	}
	sort.Strings(problems)
	if problems != nil {
		return fmt.Errorf("%d problems:\n%s", len(problems), strings.Join(problems, "\n"))
	}
	fmt.Printf("%d rows, %d of them open, name %d tests, all there, none skips\n", rows, open, count)
	return nil
}
