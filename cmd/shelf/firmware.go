package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"imgbuild/cmd/line"
	"imgbuild/init/contract/dialogue"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/terminal"
	"imgbuild/init/settings/sources"
	"imgbuild/init/upgrade/command"

	"golang.org/x/sys/unix"
)

// firmwareVerb shows the firmware, upgrades it, or goes back to the one before.
func firmwareVerb(a *line.Args) error {
	if err := rootOnly(); err != nil {
		return err
	}
	serve, err := a.Bool("serve", false)
	if err != nil {
		return err
	}
	word, rest := "", a.Operands
	if len(rest) > 0 {
		word, rest = rest[0], rest[1:]
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	cfg, _ := sources.Merge("/")
	o := command.Options{Config: cfg}
	var done *dialogue.Done
	switch {
	case word == "" && !serve:
		s, err := command.Firmware()
		if err != nil {
			return err
		}
		if a.JSON() {
			return printJSON(s)
		}
		show(s.String())
		return nil
	case word == "upgrade" && serve && len(rest) == 0:
		return command.ServeFirmware(ctx, os.Stdin, os.Stdout, o)
	case word == "upgrade" && !serve && len(rest) == 1:
		o.Note = func(text string) { fmt.Fprintln(os.Stderr, terminal.Text(text)) }
		o.Progress = progress(os.Stderr)
		done, err = command.UpgradeFirmware(ctx, rest[0], o)
	case word == "rollback" && !serve && len(rest) == 0:
		done, err = command.FirmwareBack(ctx)
	default:
		return fault.New(fault.Usage, "run `shelf help firmware`", "firmware takes nothing, upgrade and one source, or rollback")
	}
	if err != nil {
		return err
	}
	if a.JSON() {
		return printJSON(done)
	}
	if !done.Reboot {
		show("the firmware of", done.Version, "is there already")
		return nil
	}
	showf("the BOOT in the %s place boots from now on; the node reboots now\n", done.Slot)
	return nil
}
