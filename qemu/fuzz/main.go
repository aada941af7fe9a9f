// Command fuzz runs every fuzz target of the repository in turn: make fuzz [only=NAME] [minutes=EACH]. It prints date,
// commit, executions and failures; inputs that failed stay in the package's testdata, so that go test runs them ever after.
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"strconv"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "fuzz:", err)
		os.Exit(1)
	}
}

type target struct{ pkg, name string }

func run(ctx context.Context, words []string) error {
	only, minutes := "", 1.0
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		var err error
		switch key {
		case "only":
			only = value
		case "minutes":
			if minutes, err = strconv.ParseFloat(value, 64); err != nil || minutes <= 0 {
				return fmt.Errorf("minutes=%s is no time", value)
			}
		default:
			return fmt.Errorf("%s is neither only=NAME nor minutes=EACH", w)
		}
	}
	targets, err := list(ctx, only)
	if err != nil {
		return err
	}
	commit, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return err
	}
	fmt.Printf("date %s, commit %s, %d targets, %g minutes each\n", time.Now().UTC().Format(time.DateOnly), strings.TrimSpace(string(commit)), len(targets), minutes)
	failed := 0
	execs := regexp.MustCompile(`execs: (\d+)`)
	for _, t := range targets {
		// Minimising an input that is merely interesting can stall the whole run, so it is kept short.
		cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-fuzz", "^"+t.name+"$", "-fuzztime", fmt.Sprintf("%ds", int(minutes*60)),
			"-fuzzminimizetime", "10x", t.pkg)
		out, err := cmd.CombinedOutput()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		count := "0"
		if all := execs.FindAllSubmatch(out, -1); all != nil {
			count = string(all[len(all)-1][1])
		}
		verdict := "ok"
		if err != nil {
			verdict, failed = "FAILED", failed+1
		}
		fmt.Printf("  %-40s %-24s %10s execs  %s\n", t.pkg, t.name, count, verdict)
		if err != nil {
			fmt.Printf("%s\n", out)
		}
	}
	fmt.Printf("%d passed, %d failed\n", len(targets)-failed, failed)
	if failed > 0 {
		return fmt.Errorf("%d targets failed", failed)
	}
	return nil
}

// list finds the targets of all packages, in the order of go list.
func list(ctx context.Context, only string) ([]target, error) {
	pkgs, err := exec.CommandContext(ctx, "go", "list", "./...").Output()
	if err != nil {
		return nil, err
	}
	var all []target
	for _, pkg := range strings.Fields(string(pkgs)) {
		out, err := exec.CommandContext(ctx, "git", "grep", "-hoE", `^func Fuzz[A-Za-z0-9_]+\(`, "--", strings.TrimPrefix(pkg, "imgbuild/")+"/*_test.go").Output()
		if err != nil {
			continue // git grep found nothing
		}
		for _, line := range strings.Fields(strings.ReplaceAll(string(out), "func ", "")) {
			name := strings.TrimSuffix(line, "(")
			dir := exec.CommandContext(ctx, "go", "test", "-list", "^"+name+"$", pkg)
			if text, err := dir.Output(); err != nil || !strings.HasPrefix(string(text), name+"\n") {
				continue // of a package further down
			}
			if only == "" || strings.Contains(pkg+"."+name, only) {
				all = append(all, target{pkg, name})
			}
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no target matches only=%s", only)
	}
	return all, nil
}
