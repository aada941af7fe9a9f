// Command bench measures what the project promises about its speed, next to the reference tools, on
// the same input in one run: make bench [only=build|boot|node|upgrade] [n=RUNS]. It prints ratios,
// so that a slow machine is not a failure. With only=boot against=COMMIT the other side is what
// that commit builds.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"imgbuild/init/contract/fault"
	"imgbuild/qemu/long/longrun"
	"imgbuild/qemu/tool"
)

var words = longrun.Command{
	Name: "bench", Only: "PART", Choices: []string{"build", "boot", "node", "upgrade"}, N: "RUNS", Against: "COMMIT", Default: longrun.Options{N: 5}, Do: run,
}

func main() {
	if len(os.Args) == 5 && os.Args[1] == applyWord {
		if err := applyHere(context.Background(), os.Args[2], os.Args[3], os.Args[4]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	words.Main()
}

func run(ctx context.Context, r *longrun.Run) error {
	if r.Against != "" && r.Only != "boot" {
		return fault.New(fault.Usage, "make bench only=boot against=COMMIT", "against= goes with only=boot")
	}
	r.Head("runs %d, %d cores", r.N, runtime.NumCPU())
	temp, err := tool.Scratch("bench")
	if err != nil {
		return err
	}
	defer temp.Remove()
	dir := temp.Path
	program, err := filepath.Abs("bin/imgbuild")
	if err != nil {
		return err
	}
	b := &bench{program: program, dir: dir}
	parts := 0
	for _, part := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"build", func(ctx context.Context) error { return b.build(ctx, r.N) }},
		{"boot", func(ctx context.Context) error { return b.boot(ctx, r.N, r.Against) }},
		{"node", func(ctx context.Context) error { return b.node(ctx, r.N) }},
		{"upgrade", b.upgrade},
	} {
		if r.Only != "" && r.Only != part.name {
			continue
		}
		if err := part.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
		parts++
	}
	for _, what := range b.failed {
		r.Say("over the limit: %s", what)
	}
	return r.End(len(b.failed), "parts %d, figures with a limit %d", parts, b.rows)
}

type bench struct {
	program, dir string
	rows         int      // figures with a limit
	failed       []string // those over it
}

// row prints a figure next to its limit.
func (b *bench) row(what string, value, limit float64, unit string) {
	b.rows++
	verdict := "ok"
	if value > limit {
		verdict = "OVER"
		b.failed = append(b.failed, what)
	}
	fmt.Printf("  %-58s %8.3f %-6s limit %6.3f  %s\n", what, value, unit, limit, verdict)
}
