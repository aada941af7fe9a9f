// Command bench measures what the project promises about its speed, beside the reference tools, on the same input in one
// run: make bench [only=build|boot|node] [n=RUNS]. It prints ratios; nothing fails because a machine is slow.
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, words []string) error {
	only, n := "", 5
	for _, w := range words {
		key, value, ok := strings.Cut(w, "=")
		var err error
		switch {
		case ok && key == "only" && (value == "build" || value == "boot" || value == "node"):
			only = value
		case ok && key == "n":
			if n, err = strconv.Atoi(value); err != nil || n < 1 {
				return fmt.Errorf("n=%s is no number of runs", value)
			}
		default:
			return fmt.Errorf("%s is neither only=build, only=boot, only=node nor n=RUNS", w)
		}
	}
	commit, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty").Output()
	if err != nil {
		commit = []byte("unknown\n")
	}
	fmt.Printf("date %s, commit %s, %d cores, runs %d\n", time.Now().UTC().Format(time.DateOnly), strings.TrimSpace(string(commit)), runtime.NumCPU(), n)
	dir, err := os.MkdirTemp("", "imgbuild-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	program, err := filepath.Abs("bin/imgbuild")
	if err != nil {
		return err
	}
	b := &bench{program: program, dir: dir, failed: nil}
	for _, part := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"build", b.build},
		{"boot", func(ctx context.Context) error { return b.boot(ctx, n) }},
		{"node", func(ctx context.Context) error { return b.node(ctx, n) }},
	} {
		if only != "" && only != part.name {
			continue
		}
		if err := part.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	if b.failed != nil {
		return fmt.Errorf("over the limit: %s", strings.Join(b.failed, "; "))
	}
	return nil
}

type bench struct {
	program, dir string
	failed       []string
}

// row prints a figure beside its limit.
func (b *bench) row(what string, value, limit float64, unit string) {
	verdict := "ok"
	if value > limit {
		verdict = "OVER"
		b.failed = append(b.failed, what)
	}
	fmt.Printf("  %-58s %8.3f %-6s limit %6.3f  %s\n", what, value, unit, limit, verdict)
}
