package boot

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"time"

	"imgbuild/init/base/guard"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/mask"
	"imgbuild/init/disk"
	"imgbuild/init/net/clock"
	"imgbuild/init/settings/apply"
	"imgbuild/init/settings/identity"
	"imgbuild/init/settings/sources"
	"imgbuild/init/supervise"

	"golang.org/x/sys/unix"
)

// logDir is where everything that runs on the node has its log.
const logDir = "/var/log/shelf"

// config takes over what lies on BOOT, merges all sources and makes them true as far as no network is needed.
func (n *Node) config() error {
	n.log = supervise.NewLog(logDir, "commands", supervise.DefaultLogLimits)
	if set, err := clock.Restore(clock.Path, time.Unix(n.pre.Manifest.Date, 0)); err != nil {
		n.tell.Problem(err)
	} else if set {
		n.tell.Say("clock raised to the time saved last")
	}
	how, err := markRunning(stateDir)
	n.tell.Problem(err)
	if n.how = how; how != "" {
		n.tell.Report.Fact("last boot", how)
	}
	if !n.lay.Degraded {
		n.crashed()
		t := n.tell
		guard.Go(func() { t.Problem(n.armCrash()) })
	}
	imported := n.importBoot()
	cfg := n.read(imported)
	n.cfg = cfg
	here := apply.Here
	n.tell.Problem(here.MachineID())
	n.tell.Problem(here.SSHD())
	n.tell.Problem(here.Sudo())
	n.degraded()
	n.tell.Log("the configuration is read, keys are made")
	<-n.plugged // the network card gives the node its name, and modules of the configuration come after the hardware's
	if n.volumes(cfg) {
		cfg = n.read(imported)
		n.cfg = cfg
	}
	n.tell.Problem(n.name(here, cfg))
	n.tell.Problem(n.settings(here, cfg))
	n.commands("init_cmd", cfg.InitCmd)
	n.commands("boot_cmd", cfg.BootCmd)
	return nil
}

// commands runs the lines of a phase. They may take their time, which the watchdog has to know.
func (n *Node) commands(phase string, lines []string) {
	if len(lines) == 0 || !n.mayRun(phase) {
		return
	}
	n.pre.Watchdog.Limit(time.Duration(len(lines)+1) * apply.CommandLimit)
	n.tell.Problem(apply.Commands(context.Background(), phase, lines, n.cfg.K3OS.Environment, n.log, n.cfg.Place))
}

// settings is what a change of the configuration changes on a running node as well.
func (n *Node) settings(here apply.Machine, cfg *config.Config) error {
	var errs []error
	keys := slices.Concat(cfg.SSHAuthorizedKeys, remoteKeys(cfg))
	for _, line := range cfg.K3OS.Modules {
		if f := strings.Fields(line); len(f) > 0 {
			errs = append(errs, fault.Wrap(n.pre.Modules.Load(f[0], f[1:]...), fault.Input, "look whether the name is right and the module is in this image", "k3os.modules"))
		}
	}
	return errors.Join(append(errs,
		here.Sysctls(cfg.K3OS.Sysctls),
		here.Keys(keys),
		here.Password(cfg.K3OS.Password),
		here.Environment(cfg.K3OS.Environment),
		here.Zone(cfg.Time.Zone),
		here.Files(cfg.WriteFiles))...)
}

// importBoot imports from BOOT. A data partition that is lost keeps nothing, so then the secrets stay where they are.
func (n *Node) importBoot() []config.Problem {
	problems, err := n.importer().Run()
	n.tell.For("import").Problem(err) // stays true until the next boot, whatever is read until then
	return problems
}

func (n *Node) importer() sources.Importer {
	im := sources.Importer{Boot: sources.Boot, Store: sources.Store}
	if !n.lay.Degraded {
		device := n.pre.Disk.Partition(disk.Boot)
		im.Overwrite = func(name string, text []byte) error { return overwrite(device, name, text, ' ') }
	}
	return im
}

// read merges all sources, checks the result and tells what is wrong, with what was found before.
func (n *Node) read(problems []config.Problem) *config.Config {
	cmdline, _ := os.ReadFile("/proc/cmdline")
	layers, parsed := sources.LayersWith("/", string(cmdline), n.try.text())
	cfg, merged := config.Merge(layers...)
	n.base.Hide(mask.New(cfg.Secrets()))
	n.tell.Report.Drop("config")
	n.findings(slices.Concat(problems, parsed, merged, config.Check(cfg, n.machine())))
	n.tell.Problem(apply.HashPassword(cfg))
	return cfg
}

// machine is what a configuration has to fit.
func (n *Node) machine() config.Facts {
	return config.Facts{Roles: n.pre.Manifest.Roles, Board: n.pre.Cmdline["shelf.board"], Memory: n.pre.Memory}
}

// findings tells what is wrong with a configuration. Notes are for the log only.
func (n *Node) findings(problems []config.Problem) {
	t := n.tell.For("config")
	for _, p := range problems {
		if p.Severity == config.Note {
			continue
		}
		fix := p.Fix
		if n.lay.Degraded && strings.Contains(p.Message, "moved to the node's data") {
			fix = "it is there again when the data partition is in use again; until then the node does without"
		}
		p.Fix = ""
		t.Problem(fault.New(fault.Input, fix, "%s", p.String()))
	}
}

// name gives the node its name.
func (n *Node) name(here apply.Machine, cfg *config.Config) error {
	host, err := identity.Hostname(apply.HostnameFile, cfg.UsableHostname(), identity.WiredMAC("/sys"))
	if host == "" {
		return err
	}
	n.host = host
	n.tell.Report.Fact("hostname", host)
	return errors.Join(err, unix.Sethostname([]byte(host)), here.Names(host))
}

// keepClock asks time servers from now on, and again when the network has changed.
func (n *Node) keepClock() {
	servers := func() [][]string { return clock.Tiers(n.current(), n.net.NTPServers()) }
	n.clock = clock.New(time.Unix(n.pre.Manifest.Date, 0), clock.Path, servers, n.tell.Say)
	guard.Go(func() {
		_ = n.awaitNetwork(context.Background()) // nobody answers before, and looking for names takes its time
		n.clock.Run(context.Background())
	})
	guard.Go(func() {
		for {
			<-n.net.Changed()
			n.clock.Kick()
		}
	})
}

// fetchKeys begins to fetch the keys of github:USER and its like, and what data sources have.
func (n *Node) fetchKeys() { n.fetch(n.current()) }
