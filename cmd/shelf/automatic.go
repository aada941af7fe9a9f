package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"imgbuild/cmd/line"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/terminal"
	"imgbuild/init/status/control"
	"imgbuild/init/upgrade/auto"
	"imgbuild/init/upgrade/command"
	"imgbuild/init/upgrade/turns"

	"imgbuild/init/boot/upgrades"
	"imgbuild/init/upgrade/install"
)

// automaticVerb is `shelf upgrade auto`, status, resume and turns.
func automaticVerb(ctx context.Context, a *line.Args, o command.Options) error {
	word, rest := a.Operands[0], a.Operands[1:]
	act := word == "auto" && len(rest) == 1 && rest[0] == "now"
	if len(rest) > 0 && !act {
		return fault.New(fault.Usage, "run `shelf help upgrade`", "upgrade %s takes no %q", word, rest[0])
	}
	switch word {
	case "turns":
		return command.ServeTurns(ctx, o.Config)
	case "resume":
		return resume(ctx, a.JSON())
	case "status":
		return automaticStatus(ctx, a.JSON(), o.Config)
	}
	o.Note = func(text string) { fmt.Fprintln(os.Stderr, terminal.Text(text)) }
	if act {
		o.Progress = progress(os.Stderr)
	}
	d, err := command.Auto(ctx, o, act)
	if err != nil {
		return err
	}
	if a.JSON() {
		return printJSON(d)
	}
	show(d.String())
	return nil
}

// resume lets the cluster go on with versions that were stopped.
func resume(ctx context.Context, asJSON bool) error {
	versions, err := turns.AskResume(ctx)
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(map[string][]string{"resumed": versions})
	}
	if len(versions) == 0 {
		show("no version was stopped")
		return nil
	}
	show("nodes upgrade again to", strings.Join(versions, ", "))
	return nil
}

// automaticState is what `shelf upgrade status -o json` prints.
type automaticState struct {
	Decision *auto.Decision `json:"decision,omitempty"`
	At       time.Time      `json:"at,omitzero"`
	Failed   string         `json:"failed,omitempty"`
	Turns    *turns.State   `json:"turns,omitempty"` // on the server that keeps them
}

func automaticStatus(ctx context.Context, asJSON bool, cfg *config.Config) error {
	m, err := auto.Load(auto.Path)
	if err != nil {
		return err
	}
	var s automaticState
	if !m.At.IsZero() {
		s.Decision, s.At, s.Failed = &m.Decision, m.At, m.Failed
	}
	var f install.Facts
	if err := control.Call(control.Socket, control.Request{Verb: upgrades.Facts}, &f); err != nil {
		return err
	}
	if command.Keeps(cfg, f.Role) {
		if s.Turns, err = turns.AskState(ctx); err != nil {
			return err
		}
	}
	if asJSON {
		return printJSON(s)
	}
	var b strings.Builder
	writeAutomatic(&b, s, cfg.Upgrade.Auto)
	show(strings.TrimSuffix(b.String(), "\n"))
	return nil
}

func writeAutomatic(w io.Writer, s automaticState, on bool) {
	switch {
	case !on:
		fmt.Fprintln(w, "automatic upgrades are off (upgrade.auto)")
	case s.Decision == nil:
		fmt.Fprintln(w, "the node has not looked yet")
	default:
		fmt.Fprintf(w, "%s: %s\n", s.At.UTC().Format("2006-01-02 15:04"), s.Decision)
		if s.Failed != "" {
			fmt.Fprintf(w, "the last attempt failed: %s\n", s.Failed)
		}
	}
	if s.Turns != nil {
		s.Turns.Write(w)
	}
}
