package command

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"imgbuild/init/base/module"
	"imgbuild/init/contract/bundle"
	"imgbuild/init/net/proxy"
	"imgbuild/init/start/preinit"
	"imgbuild/init/upgrade/install"
	"imgbuild/init/upgrade/source"
)

// stickDir is where a stick with an upgrade is mounted.
const stickDir = "/run/shelf/upgrade-stick"

// sources reports how this node reaches sources.
func sources(o Options, f install.Facts, trusted bundle.Keys, space int64) source.Options {
	return source.Options{
		HTTP: source.HTTPOptions{
			Client: proxy.Client(func() map[string]string { return o.Config.K3OS.Environment }),
			Say: func(format string, a ...any) {
				if o.Note != nil {
					o.Note(fmt.Sprintf(format, a...))
				}
			},
		},
		USB: source.USBOptions{
			Sys: "/sys", Dev: "/dev", Boot: diskOf("/sys", f.Running), Dir: stickDir, Mount: source.MountStick(loader()),
			Accept: func(ctx context.Context, src bundle.Source) (*bundle.Manifest, error) {
				b, err := bundle.Open(ctx, src, trusted)
				if err != nil {
					return nil, err
				}
				_, err = install.Judge(b.Manifest, source.FromUSB, f, space, o.Force, time.Now())
				return b.Manifest, err
			},
		},
	}
}

// diskOf returns the name of the disk that a partition is on: mmcblk0 for /dev/mmcblk0p2.
func diskOf(sys, partition string) string {
	dir, err := filepath.EvalSymlinks(filepath.Join(sys, "class/block", filepath.Base(partition)))
	if err != nil {
		return ""
	}
	return filepath.Base(filepath.Dir(dir))
}

// loader loads modules of the running kernel; its index is read when it is first needed.
func loader() func(name string, params ...string) error {
	open := sync.OnceValues(func() (*module.Loader, error) {
		x, err := module.Open("/lib/modules/" + module.Release())
		if err != nil {
			return nil, err
		}
		text, _ := os.ReadFile("/proc/cmdline")
		return module.NewLoader(x, module.Words(preinit.ParseCmdline(string(text)))), nil
	})
	return func(name string, params ...string) error {
		l, err := open()
		if err != nil {
			return err
		}
		return l.Load(name, params...)
	}
}
