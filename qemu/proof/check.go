package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
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
		have, err := declared(pkg)
		if err != nil {
			return nil, 0, err
		}
		for name, line := range names {
			tests++
			switch {
			case have == nil:
				bad(line, "%s.%s: no such package", pkg, name)
			case !slices.Contains(have, name):
				bad(line, "%s has no %s", pkg, name)
			}
		}
	}
	sort.Strings(problems)
	return problems, tests, nil
}

// declared lists the functions of a package's tests, by its path from the top folder; nil where
// there is no such package. They are read from the source: go test -list would build every test.
func declared(pkg string) (names []string, err error) {
	files, err := filepath.Glob(filepath.Join(pkg, "*_test.go"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		for _, d := range f.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
				names = append(names, f.Name.Name)
			}
		}
	}
	return names, nil
}

// skips lists the lines of test files that skip a test.
func skips() string {
	out, _ := exec.Command("git", "grep", "-nE", `\.(Skip|SkipNow|Skipf)\(`, "--", "*_test.go").Output()
	return string(out)
}
