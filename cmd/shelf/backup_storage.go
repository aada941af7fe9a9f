package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"imgbuild/cmd/line"
	"imgbuild/init/contract/backupkey"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/settings/sources"
	"imgbuild/init/status/control"
	"imgbuild/init/storage/backup"
	"imgbuild/init/storage/disks"
	"imgbuild/init/storage/serve"
	"imgbuild/init/storage/snapshots"

	"golang.org/x/sys/unix"
)

// Keys of shelf backup on a storage node.
var backupKeys = []line.Key{
	{Name: "name", Value: "NAME", Doc: "With enroll: what the disk is called from now on."},
	{Name: "format", Value: "yes|no", Words: []string{"yes", "no"}, Doc: "With enroll: yes makes a btrfs file system on a blank disk that is named by SERIAL=."},
	{Name: "at", Value: "TIME", Doc: "With restore: as it was then; 2026-11-30, \"2026-11-30 14:00\", 3h or 2d ago, or the name of a backup."},
	{Name: "into", Value: "DIRECTORY", Doc: "With restore: put it there, into an empty directory."},
	{Name: "identity", Value: "FILE|-", Doc: "With restore from a server: the file of `imgbuild keygen backup`; - is standard input. It is not kept."},
	{Name: "node", Value: "NAME", Doc: "With restore: whose backup, where several nodes have some on the disk."},
}

// backupStorage is shelf backup on a storage node. PID 1 runs `backup now NAME` when the disk NAME
// is attached.
func backupStorage(a *line.Args, c *config.Config) error {
	own := serve.Own()
	if own == "" {
		return fault.New(fault.Device, "run `shelf storage`", "no disk is in use that can be written")
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	j, err := backup.OfNode(c.Storage, host, own, storageDevices, func(format string, v ...any) { showf(format+"\n", v...) })
	if err != nil {
		return err
	}
	words := append(a.Operands, "", "", "")[:max(3, len(a.Operands))]
	switch what, n := words[0], len(a.Operands); {
	case n == 0:
		return showBackups(own, c.Storage.Backup)
	case what == "key" && n == 1:
		line, err := j.Key()
		if err == nil {
			show(line)
		}
		return err
	case what == "now" && n <= 2:
		return backupNow(ctx, j, own, words[1])
	case what == "enroll" && n == 2:
		return enrollDisk(ctx, j, a, words[1])
	case what == "list" && n == 2:
		list, err := j.List(ctx, words[1])
		for _, v := range list {
			showf("%s\t%s\t%s\n", v.Node, v.Share, v.Time.Local().Format(time.DateTime))
		}
		return err
	case what == "forget" && n == 2:
		if err := j.Forget(ctx, words[1]); err != nil {
			return err
		}
		showf("no backup is made to %s any more; what is on it was not touched\n", words[1])
		return control.Call(control.Socket, control.Request{Verb: "reload"}, nil)
	case what == "restore" && n == 3:
		return restoreBackup(ctx, j, a, words[1], words[2])
	}
	return unknown("backup", strings.Join(a.Operands, " "))
}

// storageDevices asks PID 1 for every disk and partition: it knows which of them are in use.
func storageDevices() ([]disks.Device, error) {
	var s serve.Report
	err := control.Call(control.Socket, control.Request{Verb: "storage"}, &s)
	return s.Devices, err
}

func showBackups(own string, b config.StorageBackup) error {
	s, err := backup.Load(own)
	if err != nil {
		return err
	}
	for _, name := range b.Servers() {
		for _, line := range s.Places[name].Lines(name, b.To[name].URL, nil, time.Now()) {
			show(line)
		}
	}
	if len(s.Places)+len(b.To) == 0 {
		show("there are no backups; attach a disk and run `sudo shelf backup enroll SERIAL=NUMBER name=NAME` (`shelf storage disks` lists them)")
		return nil
	}
	list, err := storageDevices()
	if err != nil {
		return err
	}
	for _, name := range s.Names() {
		if s.Places[name].UUID == "" {
			continue // a server: above, or gone from the configuration
		}
		for _, line := range s.Places[name].Lines(name, "", list, time.Now()) {
			show(line)
		}
	}
	return nil
}

// backupNow makes a backup to one place, or to every one whose disk is attached.
func backupNow(ctx context.Context, j *backup.Job, own, name string) error {
	names := []string{name}
	if name == "" {
		s, err := backup.Load(own)
		if err != nil {
			return err
		}
		list, err := storageDevices()
		if err != nil {
			return err
		}
		if names = append(s.Attached(list), j.Servers()...); len(names) == 0 {
			return fault.New(fault.Device, "attach one; `sudo shelf backup` lists them", "no disk for backups is attached")
		}
	}
	for _, n := range names {
		if err := j.Run(ctx, n); err != nil {
			return err
		}
		if _, server := j.Remotes[n]; server {
			showf("all shares are at %s\n", n)
		} else {
			showf("all shares are on the disk %s, which may be unplugged\n", n)
		}
	}
	return nil
}

func enrollDisk(ctx context.Context, j *backup.Job, a *line.Args, spec string) error {
	format, err := a.Bool("format", false)
	if err != nil {
		return err
	}
	name := a.Values["name"]
	p, err := j.Enroll(ctx, spec, name, format)
	if err != nil {
		return err
	}
	showf("the disk %s (UUID=%s) is for backups from now on; one is made whenever it is attached, and now\n", name, p.UUID)
	return backupNow(ctx, j, j.Own, name)
}

func restoreBackup(ctx context.Context, j *backup.Job, a *line.Args, place, what string) error {
	w := backup.Wish{Node: a.Values["node"], Into: a.Values["into"]}
	w.Share, w.Path, _ = strings.Cut(strings.Trim(what, "/"), "/")
	if w.Into != "" && !strings.HasPrefix(w.Into, "/") {
		return fault.New(fault.Usage, "", "into=%s is not an absolute path", w.Into)
	}
	if text := a.Values["at"]; text != "" {
		var err error
		if w.At, err = snapshots.ParseAt(text, time.Now()); err != nil {
			return err
		}
	}
	if file := a.Values["identity"]; file != "" {
		text, err := readIdentity(file)
		if err != nil {
			return err
		}
		id, err := backupkey.Parse(text)
		if err != nil {
			return err
		}
		w.Identity = &id
	}
	v, to, aside, err := j.Restore(ctx, place, w)
	if err != nil {
		return err
	}
	showf("%s is as it was at %s\n", to, v.Time.Local().Format(time.DateTime))
	if aside != "" {
		showf("what was there is now %s\n", aside)
	}
	return nil
}

// readIdentity reads a file, or standard input.
func readIdentity(file string) (string, error) {
	const most = 64 << 10
	in := os.Stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", fault.Wrap(err, fault.Input, "", "the identity")
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, most))
	return string(text), fault.Wrap(err, fault.Input, "", "the identity")
}

// onStorage returns the node's configuration if it is a storage node's.
func onStorage() (*config.Config, bool) {
	c, _ := sources.Merge("/")
	return c, c.RoleOf("") == "storage"
}
