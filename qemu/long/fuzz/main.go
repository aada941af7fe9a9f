// Command fuzz runs every fuzz target of the repository in turn: make fuzz [only=NAME]
// [minutes=EACH]. It prints date, commit, executions and failures; inputs that failed stay in the
// package's testdata, so that go test runs them ever after. A run that was ended goes on with the
// next target.
package main

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"imgbuild/init/contract/fault"
	"imgbuild/qemu/long/longrun"
)

var command = longrun.Command{Name: "fuzz", Only: "NAME", Minutes: "EACH", Default: longrun.Options{Minutes: 1}, Do: run}

func main() { command.Main() }

type target struct{ pkg, name string }

// result is what became of a target.
type result struct {
	Package, Name string
	Execs         string
	Failed        bool
}

func (r result) String() string {
	verdict := "ok"
	if r.Failed {
		verdict = "FAILED"
	}
	return fmt.Sprintf("%-40s %-24s %10s execs  %s", r.Package, r.Name, r.Execs, verdict)
}

func run(ctx context.Context, r *longrun.Run) error {
	targets, err := list(ctx, r.Only)
	if err != nil {
		return err
	}
	r.Head("%d targets, %g minutes each", len(targets), r.Minutes)
	notes, err := longrun.Resume[result](r, fmt.Sprintf("%g-%s", r.Minutes, r.Only))
	if err != nil {
		return err
	}
	defer notes.Close()
	failed, have := 0, map[target]bool{}
	for _, one := range notes.Done {
		have[target{one.Package, one.Name}] = true
		r.Say("%s, before", one)
	}
	for _, t := range targets {
		if have[t] {
			continue
		}
		one, out, err := fuzz(ctx, t, r.Minutes)
		if err != nil {
			return err
		}
		r.Say("%s", one)
		if one.Failed {
			fmt.Fprintf(r.Out, "%s\n", out)
		}
		if err := notes.Add(one); err != nil {
			return err
		}
	}
	for _, one := range notes.Done {
		if one.Failed {
			failed++
		}
	}
	if err := notes.Over(); err != nil {
		return err
	}
	return r.End(failed, "targets %d, passed %d", len(notes.Done), len(notes.Done)-failed)
}

var execs = regexp.MustCompile(`execs: (\d+)`)

// fuzz runs one target. The error means that it was interrupted.
func fuzz(ctx context.Context, t target, minutes float64) (result, []byte, error) {
	// Minimising an input that is merely interesting can stall the whole run, so it is kept short.
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-fuzz", "^"+t.name+"$", "-fuzztime", fuzztime(minutes), "-fuzzminimizetime", "10x", t.pkg)
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return result{}, nil, ctx.Err()
	}
	one := result{Package: t.pkg, Name: t.name, Execs: "0", Failed: err != nil}
	if all := execs.FindAllSubmatch(out, -1); all != nil {
		one.Execs = string(all[len(all)-1][1])
	}
	return one, out, nil
}

// fuzztime is how go test takes a time. 0 would mean for ever.
func fuzztime(minutes float64) string {
	return max(time.Second, time.Duration(minutes*float64(time.Minute)).Round(time.Second)).String()
}

// list finds the targets of all packages, in the order of go list.
func list(ctx context.Context, only string) ([]target, error) {
	pkgs, err := exec.CommandContext(ctx, "go", "list", "./...").Output()
	if err != nil {
		return nil, err
	}
	var all []target
	for _, pkg := range strings.Fields(string(pkgs)) {
		// glob: a star matches no slash, so that nothing of a package further down is found.
		out, err := exec.CommandContext(ctx, "git", "grep", "-hoE", `^func Fuzz[A-Za-z0-9_]+\(`, "--", ":(glob)"+strings.TrimPrefix(pkg, "imgbuild/")+"/*_test.go").Output()
		if err != nil {
			continue // git grep found nothing
		}
		for _, line := range strings.Fields(strings.ReplaceAll(string(out), "func ", "")) {
			if name := strings.TrimSuffix(line, "("); only == "" || strings.Contains(pkg+"."+name, only) {
				all = append(all, target{pkg, name})
			}
		}
	}
	if len(all) == 0 {
		return nil, fault.New(fault.Usage, "see them all with git grep '^func Fuzz'", "no target has %q in its name", only)
	}
	return all, nil
}
