// Command proof reads docs/PROOF.md and checks that what it names is there: every row has a result,
// every test named in it exists and skips nothing. It fails where a row promises more than the tree
// holds.
//
// With run=yes it runs the tests that the rows name and writes commit and result into the rows;
// full=yes includes the rows marked (FULL), only=WORD takes the packages with that word in their
// path, results=FILE takes the output of an earlier `go test -json` instead of a run.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
)

const usage = "usage: proof [run=yes [full=yes] [only=WORD]] [results=FILE]"

func main() {
	if err := run("docs/PROOF.md", os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "proof:", err)
		os.Exit(1)
	}
}

func run(file string, args []string) error {
	given := map[string]string{}
	for _, a := range args {
		key, value, ok := strings.Cut(a, "=")
		if !ok || key != "run" && key != "full" && key != "only" && key != "results" {
			return fmt.Errorf("%q is not understood; %s", a, usage)
		}
		given[key] = value
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	all := rows(string(text))
	if len(all) == 0 {
		return fmt.Errorf("%s has no rows", file)
	}
	if given["run"] == "yes" || given["results"] != "" {
		if text, err = record(file, text, all, given); err != nil {
			return err
		}
		all = rows(string(text))
	}
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		return err
	}
	problems, tests, err := check(all, makefile)
	if err != nil {
		return err
	}
	if s := skips(); s != "" {
		problems = append(problems, "tests skip:\n"+s)
	}
	if problems != nil {
		return fmt.Errorf("%s: %d problems:\n%s", file, len(problems), strings.Join(problems, "\n"))
	}
	open := 0
	for _, r := range all {
		if strings.HasPrefix(r.verdict(), "open") {
			open++
		}
	}
	fmt.Printf("%d rows, %d of them open, name %d tests, all there, none skips\n", len(all), open, tests)
	return nil
}

// record writes the results of a run into the file.
func record(file string, text []byte, all []row, given map[string]string) ([]byte, error) {
	commit, err := head(file)
	if err != nil {
		return nil, err
	}
	ended := results{}
	if name := given["results"]; name != "" {
		output, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		ended.add(output)
	} else {
		ended = runTests(all, given["full"] == "yes", given["only"])
	}
	fresh, n := update(string(text), all, ended, commit, given["full"] == "yes")
	fmt.Printf("%d tests ended, %d rows written\n", len(ended), n)
	return []byte(fresh), os.WriteFile(file, []byte(fresh), 0o644)
}

// head names the commit that is checked out, with -dirty where a file differs from it. The table
// itself may: an earlier run has written into it.
func head(table string) (string, error) {
	name, err := exec.Command("git", "describe", "--always").Output()
	if err != nil {
		return "", fmt.Errorf("git describe: %w", err)
	}
	changed, err := exec.Command("git", "status", "--porcelain", "--untracked-files=no", "--", ".", ":(exclude)"+table).Output()
	if err != nil {
		return "", fmt.Errorf("git status: %w", err)
	}
	commit := strings.TrimSpace(string(name))
	if len(changed) > 0 {
		commit += "-dirty"
	}
	return commit, nil
}
