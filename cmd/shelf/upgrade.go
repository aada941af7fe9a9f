package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"imgbuild/cmd/line"
	"imgbuild/init/boot/upgrades"
	"imgbuild/init/contract/dialogue"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/terminal"
	"imgbuild/init/settings/sources"
	"imgbuild/init/status/control"
	"imgbuild/init/upgrade/command"
	"imgbuild/init/upgrade/keys"
	"imgbuild/init/upgrade/ledger"
	"imgbuild/init/upgrade/source"

	"golang.org/x/sys/unix"
)

// upgradeVerb installs an upgrade, here or for a laptop at the other end of ssh.
func upgradeVerb(a *line.Args) error {
	if os.Geteuid() != 0 {
		return fault.New(fault.Usage, "use sudo", "only root may upgrade the node")
	}
	if plan, err := a.Bool("plan", false); plan || err != nil {
		if err == nil {
			err = planVerb(a)
		}
		return err
	}
	cfg, _ := sources.Merge("/")
	o := command.Options{Config: cfg}
	var serve bool
	for name, to := range map[string]*bool{"force": &o.Force, "arm": &o.Arm, "reboot": &o.Reboot, "serve": &serve} {
		v, err := a.Bool(name, name == "arm" || name == "reboot")
		if err != nil {
			return err
		}
		*to = v
	}
	switch o.By = a.Values["by"]; o.By {
	case "", source.FromPlan:
	default:
		return fault.New(fault.Usage, "leave it out", "by=%s is not known", o.By)
	}
	switch word := a.Values["datastore"]; word {
	case "", "keep":
		o.Keep = word == "keep"
	default:
		return fault.New(fault.Usage, "give datastore=keep, or leave it out", "datastore=%s is not known", word)
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	if len(a.Operands) > 0 && slices.Contains([]string{"auto", "status", "resume", "turns"}, a.Operands[0]) {
		return automaticVerb(ctx, a, o)
	}
	switch {
	case serve && len(a.Operands) == 0:
		return command.Serve(ctx, os.Stdin, os.Stdout, o)
	case serve || len(a.Operands) != 1:
		return fault.New(fault.Usage, "run `shelf help upgrade`", "upgrade takes one source: a file, http:// or https://, usb, or - for standard input")
	}
	o.Note = func(text string) { fmt.Fprintln(os.Stderr, terminal.Text(text)) }
	o.Progress = progress(os.Stderr)
	done, err := command.Run(ctx, a.Operands[0], o)
	if err != nil {
		return err
	}
	if a.JSON() {
		return printJSON(done)
	}
	show(outcome(done))
	return nil
}

// outcome reports how an upgrade ended, in one line.
func outcome(d *dialogue.Done) string {
	sent := fmt.Sprintf("%s of it were fetched, %s made from the running system", size(uint64(d.Delta+d.Fetched)), size(uint64(d.Copied+d.Patched)))
	switch {
	case d.Result == dialogue.Same:
		return d.Version + " runs already"
	case d.Reboot:
		return d.Version + " is in slot " + d.Slot + " (" + sent + "); the node reboots into it now. It is committed when its checks pass (shelf status, shelf history)"
	case d.Result == dialogue.Armed:
		return d.Version + " is in slot " + d.Slot + " (" + sent + "); the next boot tries it: sudo shelf reboot"
	}
	return d.Version + " is in slot " + d.Slot + " (" + sent + "), and is not tried: run it again without arm=no"
}

// progress prints a line every few seconds, and one at the end of a phase.
func progress(w io.Writer) func(dialogue.Progress) {
	var last time.Time
	return func(p dialogue.Progress) {
		if p.Done < p.Total && time.Since(last) < 5*time.Second {
			return
		}
		last = time.Now()
		text := fmt.Sprintf("%-9s %3d %%  %s of %s", p.Phase, p.Done*100/max(1, p.Total), size(uint64(p.Done)), size(uint64(p.Total)))
		if p.Rate > 0 {
			text += fmt.Sprintf(", %s/s", size(uint64(p.Rate)))
		}
		if p.Left >= 1 {
			text += ", " + span(p.Left) + " left"
		}
		fmt.Fprintln(w, text)
	}
}

// rollback returns to the system before; with restore=FILE a server starts it with a backup.
func rollback(a *line.Args) error {
	asJSON := a.JSON()
	if file := a.Values["restore"]; file != "" {
		return rollbackWith(file, asJSON)
	}
	var b upgrades.Back
	if err := control.Call(control.Socket, control.Request{Verb: upgrades.Rollback, Limit: time.Minute}, &b); err != nil {
		return err
	}
	if asJSON {
		return printJSON(b)
	}
	if !b.Reboot {
		show(strings.TrimSpace("the upgrade "+b.Version), "is taken back: the next boot is one of the running system")
		return nil
	}
	showf("%s yields to the system in slot %s: the node reboots into it now\n", b.Version, b.Slot)
	return nil
}

// rollbackWith has the system of the other slot start with the data of a backup, on trial.
func rollbackWith(file string, asJSON bool) error {
	if err := rootOnly(); err != nil {
		return err
	}
	cfg, _ := sources.Merge("/")
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	done, err := command.GoBack(ctx, file, command.Options{Config: cfg, Note: func(text string) { fmt.Fprintln(os.Stderr, terminal.Text(text)) }})
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(done)
	}
	showf("%s in slot %s starts with the backup %s: the node reboots into it now, on trial; if it fails, this system and its data come back\n", done.Version, done.Slot, filepath.Base(file))
	return nil
}

// commit commits the trial that runs.
func commit(asJSON bool) error {
	if err := control.Call(control.Socket, control.Request{Verb: upgrades.Commit}, nil); err != nil {
		return err
	}
	return said("commit", asJSON)
}

// defaultHold is how long a trial is held.
const defaultHold = time.Hour

// hold keeps the trial that runs from being ended.
func hold(words []string, asJSON bool) error {
	limit := defaultHold
	switch {
	case len(words) > 1:
		return unknown("hold", words[1])
	case len(words) == 1 && words[0] == "off":
		limit = 0
	case len(words) == 1:
		n, err := strconv.Atoi(words[0])
		if err != nil || n < 0 {
			return fault.New(fault.Usage, "give seconds, or off", "%q is not a number of seconds", words[0])
		}
		limit = time.Duration(n) * time.Second
	}
	seconds := strconv.Itoa(int(limit / time.Second))
	if err := control.Call(control.Socket, control.Request{Verb: upgrades.Hold, Args: map[string]string{"seconds": seconds}}, nil); err != nil {
		return err
	}
	if asJSON {
		return printJSON(map[string]any{"order": "hold", "seconds": int(limit / time.Second)})
	}
	if limit == 0 {
		show("the trial is not held any more")
		return nil
	}
	showf("for %s the trial is neither committed nor given up: shelf commit or shelf rollback ends it\n", span(limit.Seconds()))
	return nil
}

// history lists the upgrades of this node, newest last.
func history(asJSON bool) error {
	var l ledger.Ledger
	if err := control.Call(control.Socket, control.Request{Verb: upgrades.History}, &l); err != nil {
		return err
	}
	if asJSON {
		return printJSON(l)
	}
	var b bytes.Buffer
	writeHistory(&b, l)
	_, err := os.Stdout.Write(folded([]byte(terminal.Text(b.String())), line.Columns(os.Stdout)))
	return err
}

func writeHistory(w io.Writer, l ledger.Ledger) {
	list := l.History
	if l.Attempt != nil {
		list = append(slices.Clone(list), *l.Attempt)
	}
	if len(list) == 0 {
		fmt.Fprintln(w, "no upgrade of this node is known")
	}
	for _, a := range list {
		when, result := a.Ended, string(a.Result)
		if a.Result == "" {
			when, result = a.Armed, "under way"
		}
		text := fmt.Sprintf("%s  %s, from %s, slot %s", when.UTC().Format("2006-01-02 15:04"), a.Version, a.From, a.Slot)
		if a.Source != "" {
			text += ", by " + a.Source
		}
		text += ": " + result
		if a.Reason != "" {
			text += ", " + a.Reason
		}
		if a.Blame == ledger.External {
			text += " (external: the system before fails the same checks)"
		}
		fmt.Fprintln(w, text)
		for _, r := range a.Judged {
			if slices.Contains(a.Failed, r.Check) {
				fmt.Fprintf(w, "    %s is %s: %s\n", r.Check, r.State, strings.Join(r.Why, "; "))
			}
		}
		if a.Result == ledger.RolledBack && len(a.Before) > 0 {
			fmt.Fprintf(w, "    had passed before: %s\n", strings.Join(a.Before, ", "))
		}
	}
	if l.Floor > 0 {
		fmt.Fprintf(w, "security floor: %d\n", l.Floor)
	}
}

// keyVerb lists the keys that are trusted, or adds one.
func keyVerb(a *line.Args) error {
	cfg, _ := sources.Merge("/")
	word, rest := "list", a.Operands
	if len(rest) > 0 {
		word, rest = rest[0], rest[1:]
	}
	switch {
	case word == "list" && len(rest) == 0:
		trusted, err := keys.Load(keys.Path, cfg.Upgrade.Keys)
		if err != nil {
			return asRoot(err)
		}
		if a.JSON() {
			list := []string{}
			for _, k := range trusted {
				list = append(list, k.String())
			}
			return printJSON(list)
		}
		if len(trusted) == 0 {
			show("no key is trusted: this node takes no upgrade. Add yours: sudo shelf key add RW...")
		}
		showf("%s", trusted.String())
		return nil
	case word == "add" && len(rest) == 1:
		if err := rootOnly(); err != nil {
			return err
		}
		trusted, err := keys.Load(keys.Path, cfg.Upgrade.Keys)
		if err != nil {
			return err
		}
		more, err := keys.Read(rest[0], trusted)
		if err != nil {
			return err
		}
		fresh, err := keys.Add(keys.Path, more)
		if err != nil {
			return err
		}
		if a.JSON() {
			return printJSON(map[string]int{"added": len(fresh)})
		}
		for _, k := range fresh {
			show("upgrades signed by", k.String(), "are taken from now on")
		}
		if len(fresh) == 0 {
			show("that key is trusted already")
		}
		return nil
	}
	return fault.New(fault.Usage, "run `shelf help key`", "key takes list, or add and one key or file")
}
