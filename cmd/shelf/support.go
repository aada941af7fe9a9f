package main

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"imgbuild/cmd/line"
	"imgbuild/init/contract/fault"
	"imgbuild/init/settings/sources"
	"imgbuild/init/status/support"
)

// supportVerb writes the data that a helper needs into a file, or to standard output for -.
func supportVerb(a *line.Args) (err error) {
	host, _ := os.Hostname()
	now := time.Now().UTC()
	name := fmt.Sprintf("shelf-support-%s-%s", host, now.Format("20060102-150405"))
	path := "/tmp/" + name + ".tar.gz"
	if out, given := a.Values["out"]; given {
		path = out
	}
	for _, w := range a.Operands {
		if w != "-" {
			return unknown("support", w)
		}
		path = w
	}
	if err := rootOnly(); err != nil {
		return err
	}
	n := support.OfNode(version, writeStatus)
	if path == "-" {
		return n.Write(os.Stdout, name, now)
	}
	uid, gid := invoker()
	if err := n.WriteFile(path, name, now, uid, gid); err != nil {
		return err
	}
	if a.JSON() {
		return printJSON(map[string]string{"file": path})
	}
	show(path)
	return nil
}

// invoker is the user that ran sudo, who wants to fetch the file without; -1 for nobody.
func invoker() (uid, gid int) {
	uid, err := strconv.Atoi(os.Getenv("SUDO_UID"))
	if err != nil {
		return -1, -1
	}
	gid, _ = strconv.Atoi(os.Getenv("SUDO_GID"))
	return uid, gid
}

// rootOnly is the error for files with secrets.
func rootOnly() error {
	if _, err := os.ReadDir(sources.Store); err != nil {
		return fault.Wrap(err, fault.Usage, "use sudo", "the configuration holds secrets and is for root alone")
	}
	return nil
}
