package boot

import (
	"fmt"
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"syscall"

	"imgbuild/init/base/cgroup"
	"imgbuild/init/base/guard"
	"imgbuild/init/base/module"
	"imgbuild/init/base/report"
	"imgbuild/init/base/swap"
	"imgbuild/init/boot/fetch"
	"imgbuild/init/boot/harden"
	"imgbuild/init/boot/lan"
	"imgbuild/init/boot/node"
	"imgbuild/init/boot/online"
	"imgbuild/init/boot/order"
	"imgbuild/init/boot/radio"
	"imgbuild/init/boot/rescue"
	"imgbuild/init/boot/services"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/start/layout"
	"imgbuild/init/start/preinit"
	"imgbuild/init/status"
	"imgbuild/init/status/control"
	"imgbuild/init/status/metrics"
	"imgbuild/init/supervise"
)

// Node is what the steps know of the machine and of each other. It belongs to the goroutine of Main
// alone; what others use is in shared, or is given to them when they are made.
type Node struct {
	*node.Shared
	version string // of this program

	reporter report.Reporter // in the name of the step that Main is at
	plugged  chan struct{}   // closed when the modules of all devices are loaded
	lay      *layout.Layout
	groups   *cgroup.Tree
	imported []config.Problem // of the import from BOOT
	how      string           // the boot before ended, as far as the data partition shows
	host     string
	log      *supervise.Log // of init_cmd, boot_cmd and run_cmd
	do       chan func()    // what else run does between orders
	online   *online.Online
	lan      *lan.LAN
	fetcher  *fetch.Fetcher
	radio    *radio.Radio
	extra    *services.Extra
	watch    *metrics.Watch
	swap     swap.Zram
	view     *node.View
}

// bootMemory is where garbage is collected even during the boot, in bytes.
const bootMemory = 64 << 20

// Main is PID 1. It does not return.
func Main(version string) {
	n := &Node{Shared: &node.Shared{Orders: order.NewQueue()}, version: version, do: make(chan func()), plugged: make(chan struct{})}
	n.Base = report.Reporter{Console: report.NewConsole(), Report: &report.Report{}, Step: "run"}
	n.reporter = n.Base
	// PID 1 must not end, or the kernel panics without a word about why.
	guard.Handle(n.Panicked)
	defer guard.Catch()
	// Collecting garbage while the machine boots costs more than the few megabytes are worth; run
	// takes it up again.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(bootMemory)
	n.Orders.Listen()
	// k3s and containers want many files; what PID 1 has is what its children can have.
	_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 1048576, Max: 1048576})
	for i, s := range Steps {
		n.step(i+1, s)
	}
	n.run()
}

// findMachine is the step preinit.
func findMachine(n *Node) error {
	if err := preinit.Mount(n.reporter); err != nil {
		return err
	}
	n.LED.Store(report.FindLED("/sys"))
	n.LED.Load().Blink(1)
	s := &preinit.State{}
	err := preinit.Run(n.reporter, s)
	if s.Disk != nil {
		n.Record.On(s.Disk.Path)
	}
	n.Found.Store(s)
	n.introduce()
	return err
}

// introduce puts what is known by now at the head of the report.
func (n *Node) introduce() {
	r, s := n.reporter.Report, n.Pre()
	r.Fact("machine", fmt.Sprintf("%s, %d MiB of memory", s.Model, s.Memory>>20))
	if s.Manifest != nil {
		n.version = s.Manifest.InitSHA256[:min(12, len(s.Manifest.InitSHA256))]
		r.Fact("program", n.version)
		r.Fact("system", fmt.Sprintf("%s %s, slot %s", s.Manifest.Family, s.Manifest.Version, s.Slot))
		r.Fact("kernel", s.Manifest.Kernel)
	}
	if s.Disk != nil {
		r.Fact("disk", fmt.Sprintf("%s, %d MiB", s.Disk.Name, s.Disk.Sectors>>11))
	}
	if last := s.Cmdline["shelf.last"]; last != "" {
		r.Fact("last boot", "ended with: "+last)
	}
	if n.OnTrial() {
		r.Fact("trial", "this system is on trial, attempts left: "+s.Cmdline["shelf.left"])
	}
	r.Fact("booted", status.Booted(status.Started(), false))
}

// makeRoot turns the initramfs into the system.
func makeRoot(n *Node) (err error) {
	if n.lay, err = layout.Run(n.reporter, n.Pre(), n.Damaged); err != nil {
		return err
	}
	// A program that leaks files ends at its own limit; the machine's would end everybody else's.
	_ = os.WriteFile("/proc/sys/fs/file-max", []byte(strconv.Itoa(math.MaxInt)), 0)
	return os.Setenv("PATH", supervise.DefaultPath)
}

func hardenNode(n *Node) error { return harden.Node(n.Pre().Manifest.K3s, control.Group) }

// loadModules begins to load the modules of all devices, now that all modules are there. The rest
// of the boot goes on meanwhile.
func loadModules(n *Node) error {
	t, modules, plugged := n.reporter, n.Pre().Modules, n.plugged
	n.swap.Load = modules.Load
	guard.Go(func() {
		defer close(plugged)
		if err := modules.Use("/usr/lib/modules/" + module.Release()); err != nil {
			t.Problem(fault.Wrap(err, fault.Internal, "write the image to the card again", "the system has no modules for this kernel"))
			return
		}
		t.Log("the index of modules is read")
		modules.Coldplug("", nil)
		t.Log("the modules of all devices are loaded")
	})
	return nil
}

// openGroups makes the supervisor of services, each in a cgroup of its own where the kernel has
// them.
func openGroups(n *Node) (err error) {
	if n.groups, err = cgroup.Open(cgroup.Root); err == nil {
		if missing := n.groups.Missing(); len(missing) > 0 {
			err = fmt.Errorf("the kernel gives no cgroup controllers %v, without which k3s does not start", missing)
		}
	}
	words := services.NewWords(n.Base.Say)
	n.Units.Store(supervise.New(supervise.Options{LogDir: logDir, RunDir: notifyDir, Groups: n.groups, Changed: words.Changed}))
	return err
}

// rescue is what is different on this node because of its data partition.
func (n *Node) rescue() rescue.Node {
	return rescue.Node{Degraded: n.lay.Degraded, Rescue: n.lay.Rescue, Forced: n.Pre().Cmdline["shelf.rescue"] != ""}
}
