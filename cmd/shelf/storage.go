package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"imgbuild/cmd/line"
	"imgbuild/init/contract/fault"
	"imgbuild/init/status/control"
	"imgbuild/init/storage/disks"
	"imgbuild/init/storage/serve"
)

// storageVerb reports on the disks and shares of a storage node, lists disks, or gives up one that
// an entry of storage.disks used.
func storageVerb(a *line.Args) error {
	what := ""
	if len(a.Operands) > 0 {
		what = a.Operands[0]
	}
	switch {
	case slices.Contains([]string{"degraded", "scrub", "balance", "cancel", "convert"}, what) && len(a.Operands) == 2, what == "replace" && (len(a.Operands) == 3 || len(a.Operands) == 4):
		return orderDisk(a.Operands)
	case what == "forget" && len(a.Operands) == 2:
		if os.Geteuid() != 0 {
			return fault.New(fault.Usage, "use sudo", "only root may give up a disk")
		}
		if err := disks.Forget(a.Operands[1]); err != nil {
			return err
		}
		showf("the disk that was %s is not known any more; nothing on it was changed\n", a.Operands[1])
		return control.Call(control.Socket, control.Request{Verb: "reload"}, nil)
	case len(a.Operands) > 1 || what != "" && what != "status" && what != "disks":
		return unknown("storage", strings.Join(a.Operands, " "))
	}
	var s serve.Report
	if err := control.Call(control.Socket, control.Request{Verb: "storage"}, &s); err != nil {
		return err
	}
	if a.JSON() {
		return printJSON(s)
	}
	if what == "disks" {
		return listDisks(s.Devices)
	}
	for _, d := range s.Disks {
		show(d.Line())
		for _, line := range d.Care.Lines() {
			show("  " + line)
		}
	}
	for _, p := range s.Awaited {
		show("NFS waits for " + p.String() + " to take back its locks")
	}
	if len(s.Shares) > 0 {
		show()
	}
	rows := [][]string{}
	for _, sh := range s.Shares {
		state := "served"
		if !sh.Served {
			state = "its disk is not in use"
		}
		rows = append(rows, []string{sh.Name, sh.Path, strings.Join(sh.Via, " "), state})
	}
	return printTable(rows)
}

// orderDisk has the node do something with a disk that is in use, or convert the directory of a
// share. What takes long goes on after it, except for the latter.
func orderDisk(words []string) error {
	args := map[string]string{"do": words[0], "disk": words[1]}
	for i, w := range words[2:] {
		args[[]string{"device", "old"}[i]] = w
	}
	var s serve.Report
	if err := control.Call(control.Socket, control.Request{Verb: "storage", Args: args, Limit: map[bool]time.Duration{false: 5 * time.Minute, true: 2 * time.Hour}[words[0] == "convert"]}, &s); err != nil {
		return err
	}
	if s.Note != "" {
		show(s.Note)
		return nil
	}
	for _, d := range s.Disks {
		if d.Name == words[1] {
			show(d.Line())
			for _, line := range d.Care.Lines() {
				show("  " + line)
			}
		}
	}
	return nil
}

// listDisks prints what storage.disks could name.
func listDisks(list []disks.Device) error {
	rows := [][]string{{"DEVICE", "SIZE", "FILE SYSTEM", "NAMES", "NOTE"}}
	for _, d := range list {
		var names []string
		if d.Serial() != "" {
			names = append(names, "SERIAL="+d.Serial())
		}
		if d.FS.Label != "" {
			names = append(names, "LABEL="+d.FS.Label)
		}
		if d.FS.UUID != "" {
			names = append(names, "UUID="+d.FS.UUID)
		}
		fs := d.FS.Type
		if fs == "" {
			fs = "-"
		}
		rows = append(rows, []string{d.Path, fmt.Sprintf("%.1f GB", float64(d.Bytes)/1e9), fs, strings.Join(names, " "), strings.TrimSpace(d.Model + " " + d.Kept)})
	}
	return printTable(rows)
}
