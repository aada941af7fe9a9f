package main

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/manifest"
	"imgbuild/init/k3s"
	"imgbuild/init/k3s/backup"
	"imgbuild/init/settings/sources"
	"imgbuild/init/supervise"

	"golang.org/x/sys/unix"
)

// backupVerb makes a backup now, or lists those that were made. PID 1 calls `backup now`
// every day.
func backupVerb(args []string) error {
	if len(args) > 1 {
		return fault.New(fault.Usage, "run shelf help backup", "backup takes no %q", args[1])
	}
	word := ""
	if len(args) == 1 {
		word = args[0]
	}
	if os.Geteuid() != 0 {
		return fault.New(fault.Usage, "use sudo", "backups hold secrets and are for root alone")
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	j := job()
	switch word {
	case "":
		return backupStatus(j)
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
	cmdline, _ := os.ReadFile("/proc/cmdline")
	layers, _ := sources.Layers("/", string(cmdline))
	c, _ := config.Merge(layers...)
	host, _ := os.Hostname()
	j := &backup.Job{Config: c, Host: host, Say: func(format string, a ...any) { showf(format+"\n", a...) }}
	j.Snapshot = func(ctx context.Context, name string) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
		defer cancel()
		return k3s.Snapshot(ctx, c, name, func(ctx context.Context, argv ...string) error {
			_, err := supervise.Run(ctx, supervise.Cmd(argv...))
			return err
		})
	}
	data, err := os.ReadFile(filepath.Join("/k3os/system", manifest.Name))
	sum, serr := os.ReadFile(filepath.Join("/k3os/system", manifest.SumName))
	if m, merr := manifest.Parse(data, sum); err == nil && serr == nil && merr == nil && m.K3s != nil {
		j.K3s = m.K3s.Version
	}
	return j
}

func backupStatus(j *backup.Job) error {
	if j.Config.Backup.To == "" {
		return fault.New(fault.Input, "set backup.to, such as sftp://backup@nas/shelf", "there are no backups: the configuration names no place for them")
	}
	s, err := backup.Load(backup.Dir)
	if err != nil {
		return err
	}
	showf("to: %s, the newest %d are kept\n", backup.Shown(j.Config.Backup.To), j.Config.Backup.Keep)
	s = s.For(backup.Shown(j.Config.Backup.To))
	if s.Last.IsZero() {
		show("last: none yet")
	} else {
		showf("last: %s, %v ago, %d KiB\n", s.Name, time.Since(s.Last).Round(time.Second), s.Size>>10)
	}
	if s.Error != "" {
		return fault.New(fault.Unhealthy, "", "the last attempt, %v ago, failed: %s", time.Since(s.Tried).Round(time.Second), s.Error)
	}
	return nil
}
