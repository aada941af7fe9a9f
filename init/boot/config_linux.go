package boot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"imgbuild/init/base/guard"
	"imgbuild/init/boot/bootpart"
	"imgbuild/init/boot/crash"
	"imgbuild/init/boot/damage"
	"imgbuild/init/boot/decide"
	"imgbuild/init/boot/fetch"
	"imgbuild/init/boot/marks"
	"imgbuild/init/boot/rescue"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/mask"
	"imgbuild/init/contract/terminal"
	"imgbuild/init/disk"
	"imgbuild/init/k3s"
	"imgbuild/init/net/clock"
	"imgbuild/init/settings/apply"
	"imgbuild/init/settings/identity"
	"imgbuild/init/settings/sources"
	"imgbuild/init/status"
	"imgbuild/init/supervise"
	"imgbuild/init/upgrade/ledger"

	"golang.org/x/sys/unix"
)

// Where the node keeps things: what is ours on the data partition, and the logs of everything that
// runs.
const (
	stateDir = "/var/lib/shelf"
	logDir   = "/var/log/shelf"
)

func restoreClock(n *Node) error {
	n.log = supervise.NewLog(logDir, "commands", supervise.DefaultLogLimits)
	set, err := clock.Restore(clock.Path, time.Unix(n.Pre().Manifest.Date, 0))
	if set {
		n.reporter.Say("clock raised to the time saved last")
	}
	return err
}

func markBoot(n *Node) (err error) {
	if n.how, err = marks.Running(stateDir); n.how != "" {
		n.reporter.Report.Fact("last boot", n.how)
	}
	return err
}

// takeCrash reports the panic that ended an earlier boot, if one did, and gets ready to write down
// that of this one.
func takeCrash(n *Node) error {
	if n.lay.Degraded {
		return nil
	}
	found, err := crash.Take(crash.Path, crash.Kept)
	n.reporter.Problem(err)
	if found.Failed() {
		n.crashed(found, strings.HasPrefix(found.Who, n.system()))
	}
	who := bootName(n.system() + "program " + n.version)
	t, shared := n.reporter, n.Shared
	guard.Go(func() { t.Problem(shared.Crash.Arm(crash.Path, who)) })
	return nil
}

// system names the slot and what is in it, as takeCrash compares it.
func (n *Node) system() string {
	return fmt.Sprintf("slot %s, system %s, ", n.Pre().Slot, n.Pre().Manifest.Version)
}

// bootName names this boot of a system for the next one, as far as the clock knows.
func bootName(system string) string {
	return system + ", booted " + status.Started().UTC().Format(time.RFC3339)
}

// crashed reports an earlier panic, and acts on it; ours means that the running system had it.
func (n *Node) crashed(f crash.Found, ours bool) {
	failure := fault.New(fault.Internal, "if it comes again, report it with "+crash.Kept, "the init program failed in an earlier boot (%s): %s", f.Who, f.Gist())
	n.reporter.For("panic").Problem(failure) // problems of the step config are dropped when the configuration is read
	n.how = "panic: " + f.Gist()
	n.reporter.Report.Fact("last boot", "ended with: panic")
	c := decide.Crash{Trial: n.OnTrial(), Ours: ours, Recorded: n.Pre().Cmdline["shelf.last"] == "panic"}
	if c.Note() == decide.Blame {
		n.die("panic", failure)
	}
	n.Write(c.Note(), "panic")
}

// openLedger reads what is known of upgrades, and ends an attempt whose trial is over.
func openLedger(n *Node) error {
	p, path := n.Pre(), ledger.Path
	if n.lay.Degraded {
		path = ""
	}
	err := n.Upgrades.Open(path, p.Slot, n.OnTrial(), &n.Record, p.Cmdline["shelf.last"])
	if !n.lay.Degraded {
		n.reporter.Problem(n.Damage.Open(damage.Path, p.Slot, p.Manifest.Version))
		n.Redecide()
	}
	if text := n.UpgradeText(); text != "" {
		n.reporter.Report.Fact("upgrade", text)
	}
	return err
}

// importBoot imports what is on BOOT, and merges all sources. A data partition that is lost keeps
// nothing, so then the secrets stay where they are.
func importBoot(n *Node) error {
	problems, err := n.importer().Run()
	n.reporter.For("import").Problem(err) // stays true until the next boot, whatever is read until then
	n.imported = problems
	n.Newest.Store(n.read(n.imported))
	return nil
}

func makeKeys(n *Node) error {
	n.reporter.Problem(apply.Here.MachineID())
	n.reporter.Problem(apply.Here.Identity(n.Newest.Load().Shelf))
	n.reporter.Problem(apply.Here.SSHD())
	return apply.Here.Sudo()
}

// greet shows at each login what is different on this node, and whose ssh keys these are.
func greet(n *Node) error {
	head, back := n.rescue().Greeting()
	if head == "" {
		return nil
	}
	n.reporter.Report.Fact("data", head)
	for _, print := range rescue.Fingerprints(apply.KeyDir) {
		n.reporter.Report.Fact("ssh key", print)
		n.reporter.Say("the node's own ssh keys are on the data partition; until that is back it shows %s", print)
	}
	return os.WriteFile("/etc/motd", []byte(terminal.Text("\n"+head+"\n\n"+back+"\n\n")), 0o644)
}

// awaitDevices waits for the network card, which determines the node's name; and modules of the
// configuration come after the hardware's.
func awaitDevices(n *Node) error {
	<-n.plugged
	return nil
}

func readVolume(n *Node) error {
	if fetch.Volume(n.Config(), sources.Store, n.Pre().Modules.Load, n.reporter.For("config")) {
		n.Newest.Store(n.read(n.imported))
	}
	return nil
}

func nameNode(n *Node) error {
	host, err := identity.Hostname(apply.HostnameFile, n.Config().UsableHostname(), identity.WiredMAC("/sys"))
	if host == "" {
		return err
	}
	n.host = host
	n.reporter.Report.Fact("hostname", host)
	return errors.Join(err, unix.Sethostname([]byte(host)), apply.Here.Names(host))
}

func applySettings(n *Node) error { return n.settings(n.Config()) }
func initCommands(n *Node) error  { return n.commands("init_cmd", n.Config().InitCmd) }
func bootCommands(n *Node) error  { return n.commands("boot_cmd", n.Config().BootCmd) }

// commands runs the lines of a phase. They may take their time, which the watchdog has to know.
func (n *Node) commands(phase string, lines []string) error {
	if len(lines) == 0 || !n.rescue().MayRun(phase) {
		return nil
	}
	n.Pre().Watchdog.Limit(time.Duration(len(lines)+1) * apply.CommandLimit)
	return apply.Commands(context.Background(), phase, lines, n.Config().K3OS.Environment, n.log, n.Config().Place)
}

// settings is what a change of the configuration changes on a running node as well.
func (n *Node) settings(cfg *config.Config) error {
	var errs []error
	for _, line := range cfg.K3OS.Modules {
		if f := strings.Fields(line); len(f) > 0 {
			err := n.Pre().Modules.Load(f[0], f[1:]...)
			errs = append(errs, fault.Wrap(err, fault.Input, "look whether the name is right and the module is in this image", "k3os.modules"))
		}
	}
	size, err := cfg.Memory.ZramBytes(n.Pre().Memory)
	if err == nil {
		err = n.swap.Set(size, status.Meminfo("MemAvailable"))
	}
	errs = append(errs, fault.Wrap(err, fault.Input, "", "memory.zram"))
	here := apply.Here
	return errors.Join(append(errs,
		here.Sysctls(cfg.K3OS.Sysctls),
		here.Keys(slices.Concat(cfg.SSHAuthorizedKeys, fetch.Keys(sources.Store, cfg))),
		here.Password(cfg.K3OS.Password),
		here.Environment(cfg.K3OS.Environment),
		here.Zone(cfg.Time.Zone),
		here.Files(cfg.WriteFiles))...)
}

func (n *Node) importer() sources.Importer {
	im := sources.Importer{Boot: sources.Boot, Store: sources.Store}
	if !n.lay.Degraded {
		device := n.Pre().Disk.Partition(disk.Boot)
		im.Overwrite = func(name string, text []byte) error { return bootpart.Overwrite(device, sources.Boot, name, text, ' ') }
	}
	return im
}

// read merges all sources, checks the result and reports what is wrong, with what was found before.
func (n *Node) read(problems []config.Problem) *config.Config {
	cmdline, _ := os.ReadFile("/proc/cmdline")
	layers, parsed := sources.LayersWith("/", string(cmdline), n.Trial.Text())
	cfg, merged := config.Merge(layers...)
	n.Base.Hide(mask.New(cfg.Secrets()))
	t := n.reporter.For("config")
	t.Report.Drop("config")
	all := slices.Concat(problems, parsed, merged, config.Check(cfg, n.fitsWith(cfg)))
	refused := config.Refused(all)
	n.Refused.Store(&refused)
	for _, p := range all {
		if p.Severity == config.Note {
			continue // for the log only
		}
		fix := p.Fix
		if n.lay.Degraded && strings.Contains(p.Message, "moved to the node's data") {
			fix = "it is there again when the data partition is in use again; until then the node does without"
		}
		p.Fix = ""
		t.Problem(fault.New(fault.Input, fix, "%s", p.String()))
	}
	n.reporter.Problem(apply.HashPassword(cfg))
	return cfg
}

// fits is what a configuration has to fit.
func (n *Node) fits() config.Facts {
	p := n.Pre()
	return config.Facts{Roles: p.Manifest.Roles, Board: p.Cmdline["shelf.board"], Memory: p.Memory}
}

// fitsWith are the same, with the token that a server's data have.
func (n *Node) fitsWith(cfg *config.Config) config.Facts {
	f := n.fits()
	if cfg.RoleOf("") == k3s.Server && !n.lay.Degraded {
		f.Token = k3s.NodeTokens.Held(cfg)
	}
	return f
}

// stamp changes when a file of the configuration does.
func stamp() string {
	var b strings.Builder
	for _, pattern := range []string{sources.Store + "/*.yaml", sources.Store + "/config.d/*", sources.Local + "/config.yaml", sources.Local + "/config.d/*"} {
		paths, _ := filepath.Glob(pattern)
		for _, p := range paths {
			if st, err := os.Stat(p); err == nil && !st.IsDir() {
				fmt.Fprintf(&b, "%s %d %d\n", p, st.Size(), st.ModTime().UnixNano())
			}
		}
	}
	return b.String()
}
