package boot

import (
	"context"
	"encoding/hex"
	"os"
	"slices"
	"strings"
	"time"

	"imgbuild/init/base/guard"
	"imgbuild/init/base/report"
	"imgbuild/init/boot/configtrial"
	"imgbuild/init/boot/fetch"
	"imgbuild/init/boot/lan"
	"imgbuild/init/boot/login"
	"imgbuild/init/boot/node"
	"imgbuild/init/boot/online"
	"imgbuild/init/boot/radio"
	"imgbuild/init/boot/role"
	"imgbuild/init/boot/services"
	"imgbuild/init/contract/fault"
	"imgbuild/init/k3s"
	"imgbuild/init/k3s/datadisk"
	"imgbuild/init/net/clock"
	"imgbuild/init/net/network"
	"imgbuild/init/router/service"
	"imgbuild/init/settings/apply"
	"imgbuild/init/settings/sources"
	"imgbuild/init/status"
	"imgbuild/init/status/control"
	"imgbuild/init/status/metrics"
	"imgbuild/init/status/monitor"
	"imgbuild/init/storage/care"
	"imgbuild/init/storage/disks"
	"imgbuild/init/storage/serve"
	"imgbuild/init/supervise"
	"imgbuild/init/upgrade/command"
	"imgbuild/init/upgrade/install"
)

// notifyDir is where services report that they are ready.
const notifyDir = "/run/shelf/notify"

// startNetwork starts the network and the clock. Nothing waits for either here.
func startNetwork(n *Node) error {
	shared := n.Shared
	net := network.New(n.Config().Routed(), n.host, network.ResolvConf, n.reporter.Say)
	net.OnLink(func(name string) {
		shared.Base.For("config").Problem(apply.Here.LinkSysctls(name, shared.Config().K3OS.Sysctls))
	})
	tiers := func() [][]string { return clock.Tiers(shared.Config(), net.NTPServers()) }
	n.online = &online.Online{
		Net: net, Clock: clock.New(time.Unix(n.Pre().Manifest.Date, 0), clock.Path, tiers, n.reporter.Say), Reporter: n.reporter, Save: n.SaveReport,
		Drop: network.DropDummy,
		Out:  func() { role.Restart(shared.Units.Load(), shared.Base.For("k3s").Problem) },
	}
	n.lan = lan.New(lan.LAN{Config: n.Config, Host: n.host, Net: net, Offers: shared.Offers, Reporter: n.Base, Save: n.SaveReport})
	n.online.Start(context.Background())
	guard.Go(n.lan.Run)
	synced, system, reporter := n.online.Clock.Synced(), n.system()+"program "+n.version, n.reporter
	guard.Go(func() {
		<-synced // only now it is known when this boot began
		reporter.Report.Fact("booted", status.Booted(status.Started(), true))
		reporter.Problem(shared.Crash.Rename(bootName(system)))
		shared.SaveReport()
	})
	return nil
}

// fetchSources begins to fetch the keys of github:USER and its like, and what data sources have.
func fetchSources(n *Node) error {
	shared := n.Shared
	n.fetcher = &fetch.Fetcher{Store: sources.Store, Time: n.time(), Changed: func() { shared.Reload("fetched") }}
	n.fetcher.Follow(n.Config(), n.reporter.For("config"))
	return nil
}

// time lets units wait for the right time for as long as configured.
func (n *Node) time() func(context.Context) error {
	c, config := n.online.Clock, n.Config
	return func(ctx context.Context) error { return c.Wait(ctx, config().Time.Wait) }
}

// serveSocket answers shelf from now on.
func serveSocket(n *Node) error {
	n.reporter.Problem(os.MkdirAll(notifyDir, 0o711))
	units, do, shared := n.Units.Load(), n.do, n.Shared
	c := n.online.Clock
	v := &node.View{
		Shared: n.Shared, Version: n.version, Host: n.host, How: n.how, Logs: logDir, Layout: n.lay, Log: n.log, Services: units,
		Net: n.online.Net, Clock: c, LAN: n.lan,
	}
	n.watch = metrics.New(&metrics.Watch{
		Config: n.Config, Units: units, Net: n.online.Net, Probes: &n.Probes, Reporter: n.Base, Dir: clock.Path, Discard: n.lay.Degraded,
		Disk: n.Pre().Disk.Name,
		Sample: func() monitor.Sample {
			s := metrics.SampleOf(v.Status(), units, c.Status(), shared.OnTrial())
			if r := shared.Storage.Load(); r != nil {
				s.Storage, s.Snapshots = r.Server.Sample()
				s.Backups = r.Backups.Sample()
			}
			return s
		},
	})
	v.Watch, n.view = n.watch, v
	importer, fits := n.importer(), n.fits()
	n.Trial.Hooks = configtrial.Hooks{
		Do: func(f func()) { do <- f }, Reload: n.readAgain, Say: n.Base.Say,
		Node: func() configtrial.Node {
			facts := fits
			if cfg := v.Config(); cfg.RoleOf("") == k3s.Server {
				facts.Token = k3s.NodeTokens.Held(cfg)
			}
			return configtrial.Node{Hostname: v.Host, Role: v.Config().RoleOf(""), Facts: facts, Importer: importer, Say: v.Base.Say}
		},
	}
	return control.Serve(control.Socket, v.Answer)
}

// startSSHD starts the login.
func startSSHD(n *Node) error {
	units, cfg := n.Units.Load(), n.Config()
	n.reporter.Problem(units.Add(login.Unit(units, login.Facts{
		Role: cfg.RoleOf(""), K3s: n.Pre().Manifest.K3s, Degraded: n.lay.Degraded, Commands: len(cfg.RunCmd) > 0, Trial: n.OnTrial(),
	})))
	return units.Start(context.Background())
}

func startRadio(n *Node) error {
	n.radio = &radio.Radio{Config: n.Config, Units: n.Units.Load(), Net: n.online.Net, Reporter: n.Base, Save: n.SaveReport}
	n.radio.Apply(n.Config())
	return nil
}

// runCommands runs run_cmd before k3s, as in k3OS.
func runCommands(n *Node) error {
	lines := n.Config().RunCmd
	if len(lines) > 0 {
		_ = n.online.Await(context.Background()) // they may need it; its absence is reported elsewhere
	}
	return n.commands("run_cmd", lines)
}

// startRole starts what the node is for.
func startRole(n *Node) error {
	name, p, units := n.Config().RoleOf(""), n.Pre(), n.Units.Load()
	n.reporter.Report.Fact("role", name)
	switch {
	case n.lay.Degraded:
		return nil // nothing may begin a second life next to the one on the lost disk
	case name == "storage":
		return startStorage(n)
	case name == "router" && slices.Contains(p.Manifest.Roles, name):
		r := &service.Router{Config: n.Config, Host: n.host, Load: p.Modules.Load}
		n.Router.Store(r) // its units begin with the services of the configuration
		n.Probes.Add(r.Probes()...)
		return nil
	case name != k3s.Server && name != k3s.Worker:
		return fault.New(fault.Input, "set shelf.role to one of "+strings.Join(p.Manifest.Roles, ", "), "this system cannot run the role %q", name)
	}
	d := &datadisk.Disk{Boot: p.Disk.Name, Host: n.host, Load: func(name string) error { return p.Modules.Load(name) }, Print: n.Base.Say}
	n.Disk.Store(d)
	r := &role.K3s{
		Config: n.Config, Units: units, Groups: n.groups, Disk: d, Reporter: n.Base, Save: n.SaveReport, Reload: n.Reload, Time: n.time(),
	}
	r.Before = func(context.Context) error { return nil }
	if name == k3s.Server && !n.lay.Degraded {
		ds := &role.Datastore{Config: n.Config, Record: &n.Record, Upgrades: &n.Upgrades, Bundle: runningBundle(n.reporter), Patience: p.Watchdog.Limit, Reporter: n.Base.For("datastore")}
		n.Upgrades.Hook(ds.Hooks())
		r.Before = ds.Before
		n.Datastore.Store(ds)
	}
	p.Modules.Subscribe(r.Handle)
	u, keep, err := k3s.Unit(k3s.Node{
		Config: n.Config, Manifest: p.Manifest.K3s, Role: name, Hostname: n.host, Load: p.Modules.Load, Groups: n.groups,
		Time: n.online.Time, Data: r.Data, Say: n.reporter.Say,
	})
	if err != nil {
		return err
	}
	n.Probes.Add(k3s.Probes(n.Config, name)...)
	n.Upkeep.Store(keep)
	c := n.online.Clock
	guard.Go(func() { keep.Run(context.Background(), units, func() bool { return c.Status().Synced }, c.Synced()) })
	if name == k3s.Server {
		r.KeepBackups()
	}
	if err := units.Add(u); err != nil {
		return err
	}
	return units.StartUnit(u.Name)
}

// startStorage makes what serves disks. It begins when the services of the configuration do.
func startStorage(n *Node) error {
	p, t := n.Pre(), n.Base.For("storage")
	d := &disks.Disks{Boot: p.Disk.Name, Host: n.host, Load: func(name string) error { return p.Modules.Load(name) }, Print: n.Base.Say}
	clock := n.online.Clock
	keeper := &care.Keeper{Whole: d.Whole, Say: n.Base.Say, Clock: func() (time.Time, bool) { return time.Now(), clock.Status().Synced }}
	server := &serve.Server{Config: n.Config, Host: n.host, Disks: d, Care: keeper, Super: n.Units.Load(), Load: p.Modules.Load, Edit: apply.Here.Edit, Say: n.Base.Say}
	announce, save := n.lan.Kick, n.SaveReport
	r := role.NewStorage(server, n.time(), t, func() { announce(); save() })
	n.Storage.Store(r)
	n.Probes.Add(server.Probes()...)
	p.Modules.Subscribe(r.Handle)
	return nil
}

// startExtra starts node-exporter and the services of the configuration, except for those whose
// data are elsewhere now.
func startExtra(n *Node) error {
	config, watch, degraded, reporter, save := n.Config, n.watch, n.lay.Degraded, n.Base.For("units"), n.SaveReport
	storage, router, load := n.Storage.Load(), n.Router.Load(), n.Pre().Modules.Load
	n.extra = &services.Extra{Units: n.Units.Load(), Reporter: reporter, List: func() []supervise.Unit {
		units := watch.Exporter()
		if storage != nil {
			units = append(units, storage.Server.Units()...)
		}
		if router != nil {
			units = append(units, router.Units()...)
		}
		if !degraded {
			units = append(units, services.Of(config(), load, reporter.Problem)...)
			units = append(units, command.TurnsUnits(config(), config().RoleOf(""))...)
		}
		return units
	}, After: func() { watch.Follow(); save() }}
	n.extra.Sync()
	router.Keep(context.Background(), n.Units.Load().StartUnit)
	if storage != nil {
		storage.Server.Sync = n.extra.Sync
		guard.Go(func() { storage.Run(context.Background()) })
	}
	return nil
}

// awaitSSHD waits for sshd, so that a login works once the line of the step is shown.
func awaitSSHD(n *Node) error {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	err := n.Units.Load().Wait(ctx, login.Name)
	return fault.Wrap(err, fault.Internal, "look at /var/log/shelf/sshd.log on the console", "nobody can log in over ssh")
}

// runningBundle names the system that runs, as bundles do; empty if that cannot be read.
func runningBundle(t report.Reporter) string {
	sum, err := install.RunningSum(install.SystemDir)
	if err != nil {
		t.Problem(err)
		return ""
	}
	return hex.EncodeToString(sum[:])
}
