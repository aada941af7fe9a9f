package main

import (
	"os"
	"path/filepath"
	"time"

	"imgbuild/cmd/line"
	"imgbuild/init/contract/fault"
	"imgbuild/init/storage/snapshots"
)

// restoreVerb brings a path of a share back from a snapshot.
func restoreVerb(a *line.Args) error {
	if len(a.Operands) != 1 {
		return fault.New(fault.Usage, "run shelf restore PATH", "restore takes one path")
	}
	path, err := filepath.Abs(a.Operands[0])
	if err != nil {
		return err
	}
	list, err := snapshots.Versions(path)
	if err != nil {
		return err
	}
	only, err := a.Bool("list", false)
	if err != nil {
		return err
	}
	if only {
		for _, v := range list {
			show(v.Time.Local().Format(time.DateTime) + "  " + v.Path)
		}
		return nil
	}
	if os.Geteuid() != 0 {
		return fault.New(fault.Usage, "use sudo", "only root may restore")
	}
	var at time.Time
	if text := a.Values["at"]; text != "" {
		if at, err = snapshots.ParseAt(text, time.Now()); err != nil {
			return err
		}
	}
	v, err := snapshots.Choose(path, list, at)
	if err != nil {
		return err
	}
	aside, err := snapshots.Restore(v, path, time.Now())
	if err != nil {
		return fault.Wrap(err, fault.Device, "", "restoring %s", path)
	}
	showf("%s is as it was at %s\n", path, v.Time.Local().Format(time.DateTime))
	if aside != "" {
		showf("what was there is now %s\n", aside)
	}
	return nil
}
