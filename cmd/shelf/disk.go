package main

import (
	"errors"
	"io/fs"
	"os"

	"imgbuild/init/contract/fault"
	"imgbuild/init/k3s/datadisk"
	"imgbuild/init/settings/sources"
	"imgbuild/init/status/control"
)

// diskVerb reports on the data disk, moves k3s' data there, or gives up those that are on it.
func diskVerb(args []string) error {
	word := ""
	if len(args) > 0 {
		word = args[0]
	}
	if len(args) > 1 || word != "" && word != "move" && word != "forget" {
		return fault.New(fault.Usage, "run shelf help disk", "disk takes no %q", args)
	}
	if word == "forget" {
		if err := datadisk.Forget(); err != nil {
			return err
		}
		show("the node takes the next empty data disk, or its own, for k3s' data; nothing was deleted on the old one")
		return control.Call(control.Socket, control.Request{Verb: "reload"}, nil)
	}
	if word == "move" && os.Geteuid() != 0 {
		return fault.New(fault.Usage, "use sudo", "only root may move k3s' data")
	}
	s, err := askStatus()
	if err != nil {
		return err
	}
	used := ""
	if d := s.DataDisk; d != nil && d.State == datadisk.Mounted {
		used = d.Path
	}
	if word == "move" {
		c, _ := sources.Merge("/")
		if err := datadisk.OrderMove(c.Data.Device, used); err != nil {
			return err
		}
		show("k3s' data are moved to the data disk at the next start, which is now")
		return control.Call(control.Socket, control.Request{Verb: "reboot", Reason: "data disk move"}, nil)
	}
	switch d := s.DataDisk; {
	case d == nil:
		show("no data disk: k3s' data are on the node's own disk")
	case used != "":
		showf("k3s' data are on %s (%s)\n", d.Path, d.Device)
	default:
		return fault.New(fault.Unhealthy, "", "%s", d.Detail)
	}
	return nil
}

// asRoot adds the way out to an error that root would not have got.
func asRoot(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fault.Wrap(err, fault.Usage, "use sudo", "")
	}
	return err
}
