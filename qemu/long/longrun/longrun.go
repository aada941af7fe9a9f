// Package longrun is the frame of the long commands, make bench, fuzz, crash and soak: the words
// they take, what they print of themselves, and how a run that was interrupted goes on.
package longrun

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"imgbuild/init/contract/fault"
)

// Command is a long command. The meanings are what people read, such as NODES in n=NODES; a word
// without a meaning is not taken.
type Command struct {
	Name    string
	Only    string   // meaning of only=
	Choices []string // what only= may be; nil for anything
	Seed    string   // meaning of seed=
	N       string   // meaning of n=
	Minutes string   // meaning of minutes=
	Against string   // meaning of against=
	Default Options
	Do      func(context.Context, *Run) error
}

// Options are the words as given, else the defaults.
type Options struct {
	Only    string // empty for all
	Seed    uint64
	N       int     // at least 1
	Minutes float64 // above 0, or as in the defaults
	Against string
}

// Run is one run of a command.
type Run struct {
	Options
	Commit  string    // git describe, or unknown
	Out     io.Writer // where all is printed
	Dir     string    // for what must outlive an interruption: out/NAME
	command Command
	notes   bool // Resume was called
}

// Main runs the command with the words of the command line and ends the program.
func (c Command) Main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := c.Run(ctx, os.Args[1:], os.Stdout)
	if err == nil {
		return
	}
	fmt.Fprintf(os.Stderr, "%s: %v\n", c.Name, err)
	os.Exit(fault.Code(err))
}

// Run runs the command with words. An interruption is reported as one, whatever it made fail.
func (c Command) Run(ctx context.Context, words []string, out io.Writer) error {
	o, err := c.Parse(words)
	if err != nil {
		return err
	}
	r := &Run{Options: o, Commit: commit(ctx), Out: out, Dir: "out/" + c.Name, command: c}
	err = c.Do(ctx, r)
	if err != nil && ctx.Err() != nil {
		fix := "start it again"
		if r.notes {
			fix = "the same command goes on where this one was"
		}
		return fault.New(fault.Interrupted, fix, "interrupted")
	}
	return err
}

// commit names what is measured, with -dirty if it was changed since.
func commit(ctx context.Context) string {
	text, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(text))
}

// Head prints the line that every run begins with; format describes what will be done: how many of
// what.
func (r *Run) Head(format string, args ...any) {
	seed := "none"
	if r.command.Seed != "" {
		seed = fmt.Sprint(r.Seed)
	}
	fmt.Fprintf(r.Out, "date %s, commit %s, seed %s, %s\n", time.Now().UTC().Format(time.DateOnly), r.Commit, seed, fmt.Sprintf(format, args...))
}

// Say prints a line below the head.
func (r *Run) Say(format string, args ...any) { fmt.Fprintf(r.Out, "  "+format+"\n", args...) }

// End prints the line that every run ends with, which format begins with the counts, and makes
// failures an error.
func (r *Run) End(failed int, format string, args ...any) error {
	fmt.Fprintf(r.Out, "%s; failures: %d\n", fmt.Sprintf(format, args...), failed)
	if failed > 0 {
		return fault.New(fault.Unhealthy, "", "%d failed", failed)
	}
	return nil
}

// usage lists the words.
func (c Command) usage() string {
	var list []string
	for _, w := range []struct{ key, meaning string }{{"only", c.Only}, {"seed", c.Seed}, {"n", c.N}, {"minutes", c.Minutes}, {"against", c.Against}} {
		if w.meaning != "" {
			list = append(list, w.key+"="+w.meaning)
		}
	}
	return strings.Join(list, ", ")
}
