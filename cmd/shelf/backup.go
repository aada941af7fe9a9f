package main

import (
	"context"
	"os"
	"os/signal"
	"time"

	"imgbuild/cmd/line"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/k3s/backup"
	"imgbuild/init/settings/sources"

	"golang.org/x/sys/unix"
)

// backupVerb makes a backup now, or lists those that were made. PID 1 calls `backup now`
// every day.
func backupVerb(a *line.Args) error {
	if os.Geteuid() != 0 {
		return fault.New(fault.Usage, "use sudo", "backups hold secrets and are for root alone")
	}
	if c, ok := onStorage(); ok {
		return backupStorage(a, c)
	}
	args := a.Operands
	if len(args) > 1 {
		return fault.New(fault.Usage, "run shelf help backup", "backup takes no %q", args[1])
	}
	word := ""
	if len(args) == 1 {
		word = args[0]
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	j := job()
	switch word {
	case "":
		return backupStatus(j.Config)
	case "now":
		s, err := j.Run(ctx)
		if err == nil {
			showf("%s is at %s, %d KiB\n", s.Name, s.To, s.Size>>10)
		}
		return err
	case "list":
		list, err := j.List(ctx)
		for _, e := range list {
			showf("%s\t%d KiB\n", e.Name, e.Size>>10)
		}
		return err
	case "key":
		_, line, err := j.Key()
		if err == nil {
			show(line)
		}
		return err
	case "forget":
		return j.Forget()
	}
	return fault.New(fault.Usage, "run shelf help backup", "backup takes no %q", word)
}

// job is a run with the node's merged configuration.
func job() *backup.Job {
	c, _ := sources.Merge("/")
	return backup.OfNode(c, func(format string, a ...any) { showf(format+"\n", a...) })
}

func backupStatus(c *config.Config) error {
	s, err := backup.Status(c, backup.Dir)
	if err != nil {
		return err
	}
	showf("to: %s, the newest %d are kept\n", backup.Shown(c.Backup.To), c.Backup.Keep)
	if s.Last.IsZero() {
		show("last: none yet")
	} else {
		showf("last: %s, %v ago, %d KiB\n", s.Name, time.Since(s.Last).Round(time.Second), s.Size>>10)
	}
	return s.Failure(time.Now())
}
