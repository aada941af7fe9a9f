package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"

	"imgbuild/cmd/line"
	"imgbuild/init/contract/fault"
	"imgbuild/init/disk"
	"imgbuild/init/start/datafs"

	"golang.org/x/sys/unix"
)

// dataVerb reports on the data partition, or does to it what a person asks for.
func dataVerb(a *line.Args) error {
	what, yes := "", a.Values["yes"]
	switch {
	case len(a.Operands) > 1:
		return unknown("data", a.Operands[1])
	case len(a.Operands) == 1 && a.Operands[0] != "repair" && a.Operands[0] != "format":
		return unknown("data", a.Operands[0])
	case len(a.Operands) == 1:
		what = a.Operands[0]
	}
	d, err := findData()
	if err != nil {
		return err
	}
	s := datafs.Look(d)
	if what == "" {
		describe(s)
		return nil
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, datafs.Limit)
	defer cancel()
	out, flush := screen() // e2fsck prints names of files
	if what == "repair" {
		if err := ask(yes, what, fmt.Sprintf("e2fsck will change whatever it finds wrong on %s. Damaged files may be lost or end in lost+found.", s.Device)); err != nil {
			return err
		}
		err = datafs.Repair(ctx, d, out)
	} else {
		if err := ask(yes, what, fmt.Sprintf("Everything on the data partition of %s is deleted: this node's identity, its k3s data, its volumes.", d.Name)); err != nil {
			return err
		}
		err = datafs.Format(ctx, d, out)
	}
	err = errors.Join(err, flush())
	if err != nil {
		return err
	}
	show("\nDone. The next boot uses the data partition again: sudo shelf reboot")
	if on, err := datafs.Rescue(d); err == nil && on {
		show("rescue.txt still asks for the rescue system: sudo shelf rescue off")
	}
	return nil
}

func describe(s datafs.State) {
	switch {
	case s.Mounted != "":
		showf("The data partition is %s, %d MiB, in use at %s.\n", s.Device, s.Bytes>>20, s.Mounted)
		return
	case s.Bytes == 0:
		showf("The data partition is missing from the partition table of %s.\n", s.Device)
	default:
		showf("The data partition is %s, %d MiB, not in use.\n", s.Device, s.Bytes>>20)
	}
	if s.Bad != nil {
		show("What is wrong with it:", s.Bad)
	}
	if s.FS.BlockSize != 0 {
		how := "unmounted in order"
		if !s.FS.Clean {
			how = "not unmounted in order, or with errors"
		}
		showf("It holds ext4 with the label %q, last written %s, %s.\n", s.FS.Label, s.FS.Written.UTC().Format(time.RFC3339), how)
	}
	if s.Bytes > 0 && s.FS.BlockSize != 0 {
		showf("\nLook at it, and copy from it, without changing anything:\n  sudo mount -o ro,noload %s /mnt\n", s.Device)
	}
	showf("\nLet e2fsck repair it, with the risk that something is lost:\n  sudo shelf data repair\n" +
		"\nGive up what is there and make it again, empty:\n  sudo shelf data format\n\nThen: sudo shelf reboot\n")
}

// ask asks on a terminal for the confirming word; without a terminal it is given with yes=.
func ask(yes, word, warning string) error {
	if yes == word {
		return nil
	}
	if _, err := unix.IoctlGetTermios(0, unix.TCGETS); err != nil || yes != "" {
		return fault.New(fault.Usage, "run it again with yes="+word, "%s", strings.TrimSuffix(warning, "."))
	}
	showf("%s\nType %s to go on: ", warning, word)
	answer, _ := bufio.NewReader(os.Stdin).ReadString('\n')
	if strings.TrimSpace(answer) != word {
		return fault.New(fault.Usage, "", "nothing was done")
	}
	return nil
}

// findData is for root: others get no further than the disk's permissions, which would look like a
// disk that has failed.
func findData() (*disk.Disk, error) {
	if os.Geteuid() != 0 {
		return nil, fault.New(fault.Usage, "use sudo", "the node's disk is for root alone")
	}
	return datafs.Find()
}

// rescueVerb answers for the next boot whether it is to be the rescue system.
func rescueVerb(args []string) error {
	d, err := findData()
	if err != nil {
		return err
	}
	switch {
	case len(args) == 1 && (args[0] == "on" || args[0] == "off"):
		if err := datafs.SetRescue(d, args[0] == "on"); err != nil {
			return err
		}
	case len(args) > 0:
		return fault.New(fault.Usage, "run shelf help rescue", "rescue takes no %q", args[0])
	}
	on, err := datafs.Rescue(d)
	if err != nil {
		return err
	}
	if on {
		show("The next boot is the rescue system: no data partition, no services. sudo shelf reboot")
		if !datafs.Wired("/sys") {
			show("NO NETWORK CABLE is plugged in, and the passphrases of wireless networks are on the data partition: plug one in,\n" +
				"or write the passphrase into config.yaml on BOOT with another computer, or you cannot log in there. sudo shelf rescue off")
		}
	} else {
		show("The next boot is an ordinary one.")
	}
	return nil
}
