package main

import (
	"errors"
	"io/fs"
	"os"

	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/fault"
	"imgbuild/init/k3s/datadisk"
	"imgbuild/init/status"
	"imgbuild/init/status/control"
)

// diskVerb reports on the data disk, moves k3s' data there, or gives up those that are on it.
func diskVerb(args []string) error {
	switch {
	case len(args) == 0:
		var s status.Status
		if err := control.Call(control.Socket, control.Request{Verb: "status"}, &s); err != nil {
			return err
		}
		switch d := s.DataDisk; {
		case d == nil:
			show("no data disk: k3s' data are on the node's own disk")
		case d.State == datadisk.Mounted:
			showf("k3s' data are on %s (%s)\n", d.Path, d.Device)
		default:
			return fault.New(fault.Unhealthy, "", "%s", d.Detail)
		}
		return nil
	case len(args) == 1 && args[0] == "move":
		if os.Geteuid() != 0 {
			return fault.New(fault.Usage, "use sudo", "only root may move k3s' data")
		}
		if job().Config.Data.Device == "" { // else the note would wait, and move data some other day
			return fault.New(fault.Usage, "set data.device, such as LABEL=k3sdata, and run it again", "the configuration names no data disk")
		}
		var s status.Status
		if err := control.Call(control.Socket, control.Request{Verb: "status"}, &s); err != nil {
			return err
		}
		if d := s.DataDisk; d != nil && d.State == datadisk.Mounted {
			return fault.New(fault.Usage, "", "k3s' data are on %s already", d.Path)
		}
		if err := asRoot(atomicfile.Write(datadisk.MovePath, nil, 0o600)); err != nil {
			return err
		}
		show("k3s' data are moved to the data disk at the next start, which is now")
		return control.Call(control.Socket, control.Request{Verb: "reboot", Reason: "data disk move"}, nil)
	case len(args) == 1 && args[0] == "forget":
		err := os.Remove(datadisk.KnownPath)
		if err == nil {
			err = atomicfile.SyncDir("/var/lib/shelf")
		}
		if errors.Is(err, fs.ErrNotExist) {
			return fault.New(fault.Usage, "", "this node has no data disk to forget")
		}
		if err := asRoot(err); err != nil {
			return err
		}
		show("the node takes the next empty data disk, or its own, for k3s' data; nothing was deleted on the old one")
		return control.Call(control.Socket, control.Request{Verb: "reload"}, nil)
	}
	return fault.New(fault.Usage, "run shelf help disk", "disk takes no %q", args)
}

// asRoot adds the way out to an error that root would not have got.
func asRoot(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fault.Wrap(err, fault.Usage, "use sudo", "")
	}
	return err
}
