// Package boot is the life of PID 1: the table of steps from the kernel's hand-over to running services, what happens
// when one of them fails, and the orderly end.
package boot

import (
	"fmt"
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"imgbuild/init/base/cgroup"
	"imgbuild/init/base/guard"
	"imgbuild/init/base/module"
	"imgbuild/init/base/report"
	"imgbuild/init/boot/decide"
	"imgbuild/init/boot/record"
	"imgbuild/init/contract/bootstate"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/k3s"
	"imgbuild/init/k3s/datadisk"
	"imgbuild/init/net/clock"
	"imgbuild/init/net/network"
	"imgbuild/init/start/layout"
	"imgbuild/init/start/preinit"
	"imgbuild/init/status"
	"imgbuild/init/status/health"
	"imgbuild/init/supervise"
)

// Step is one step of the boot. Fatal ones leave nothing to go on with: the node says why and reboots, so that the boot
// script can count and take the other slot. The others are told, and the node comes up as far as it can.
type Step struct {
	Name  string
	Limit time.Duration // the watchdog resets a board whose step takes longer; 0 for none
	Fatal bool
	Run   func(*Node) error
}

// Steps is the boot.
var Steps = []Step{
	{"preinit", 3 * time.Minute, true, (*Node).preinit},
	{"layout", 65 * time.Minute, true, (*Node).layout}, // a large damaged disk is checked twice
	{"config", 10 * time.Minute, false, (*Node).config},
	{"network", 5 * time.Minute, false, (*Node).network},
	{"services", 5 * time.Minute, false, (*Node).services},
}

// Node is what the steps know of the machine and of each other. It belongs to the goroutine of Main; what others touch
// is said to be safe.
type Node struct {
	Version string // of this program

	base   report.Teller // safe
	tell   report.Teller // the same in the name of the step that Main is at
	led    *report.LED
	pre    *preinit.State
	lay    *layout.Layout
	groups *cgroup.Tree
	cfg    *config.Config
	units  *supervise.Supervisor // safe
	net    *network.Manager      // safe
	clock  *clock.Keeper         // safe
	data   *datadisk.Disk        // safe; nil before the role is known, and for roles without k3s
	upkeep *k3s.Upkeep           // nil for roles without k3s; guarded by mu
	log    *supervise.Log        // of init_cmd, boot_cmd and run_cmd
	host   string
	orders chan order
	do     chan func() // what else run does between orders
	try    trial       // safe
	radio  radio
	steps  []status.Step
	record record.Record // safe
	probes health.Prober // safe
	how    string        // the boot before ended, as far as the data partition tells

	watching  watching
	up        atomic.Bool // run takes orders
	said      chan supervise.State
	syncing   sync.Mutex // one syncServices at a time
	crash     crash
	panicking atomic.Bool
	rotten    sync.Once
	damaged   atomic.Pointer[string] // the block of /usr that was found damaged
	frozen    sync.Once
	plugged   chan struct{} // closed when the modules of all devices are loaded
	mu        sync.Mutex    // over cfg, following and steps once the services run
	following following     // what is fetched from other places
}

// bootMemory is where garbage is collected even during the boot, in bytes.
const bootMemory = 64 << 20

// Main is PID 1. It does not return.
func Main(version string) {
	n := &Node{Version: version, pre: &preinit.State{}, orders: make(chan order, 4), do: make(chan func()), said: make(chan supervise.State, 256), plugged: make(chan struct{}), watching: watching{calm: make(chan struct{})}}
	n.base = report.Teller{Console: report.NewConsole(), Report: &report.Report{}, Step: "run"}
	n.tell = n.base
	// PID 1 must not end, or the kernel panics without a word about why.
	guard.Handle(n.panicked)
	defer guard.Catch()
	// Collecting garbage while the machine boots costs more than the few megabytes are worth; run takes it up again.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(bootMemory)
	n.signals()
	// k3s and containers want many files; what PID 1 has is what its children can have.
	_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 1048576, Max: 1048576})
	for i, s := range Steps {
		n.step(i+1, s)
	}
	n.run()
}

// step does one step: times it, prints it, and decides what a failure means.
func (n *Node) step(number int, s Step) {
	n.led.Blink(number)
	n.pre.Watchdog.Limit(s.Limit)
	n.tell = n.tell.For(s.Name)
	start := time.Now()
	err := s.Run(n)
	took := time.Since(start)
	n.tell.Report.Step(s.Name, took, err == nil)
	n.mu.Lock()
	n.steps = append(n.steps, status.Step{Name: s.Name, Seconds: took.Seconds(), OK: err == nil})
	n.mu.Unlock()
	if err == nil {
		n.tell.Console.Step(s.Name, took)
		return
	}
	if s.Fatal {
		n.die(s.Name+" failed", err)
	}
	n.tell.Problem(err)
	n.tell.Say("step %s failed %.2fs", s.Name, took.Seconds())
	n.saveReport()
}

func (n *Node) preinit() error {
	if err := preinit.Mount(n.tell); err != nil {
		return err
	}
	n.led = report.FindLED("/sys")
	n.led.Blink(1)
	err := preinit.Run(n.tell, n.pre)
	n.introduce()
	return err
}

// introduce puts what is known by now at the head of the report.
func (n *Node) introduce() {
	r, s := n.tell.Report, n.pre
	r.Fact("machine", fmt.Sprintf("%s, %d MiB of memory", s.Model, s.Memory>>20))
	if s.Manifest != nil {
		n.Version = s.Manifest.InitSHA256[:min(12, len(s.Manifest.InitSHA256))]
		r.Fact("program", n.Version)
		r.Fact("system", fmt.Sprintf("%s %s, slot %s", s.Manifest.Family, s.Manifest.Version, s.Slot))
		r.Fact("kernel", s.Manifest.Kernel)
	}
	if s.Disk != nil {
		n.record.On(s.Disk.Path)
		r.Fact("disk", fmt.Sprintf("%s, %d MiB", s.Disk.Name, s.Disk.Sectors>>11))
	}
	if last := s.Cmdline["shelf.last"]; last != "" {
		r.Fact("last boot", "ended with: "+last)
	}
	if n.onTrial() {
		r.Fact("trial", "this system is on trial, attempts left: "+s.Cmdline["shelf.left"])
	}
	r.Fact("booted", time.Now().UTC().Format("2006-01-02 15:04:05 UTC"))
}

func (n *Node) layout() (err error) {
	n.lay, err = layout.Run(n.tell, n.pre, n.verity)
	if err != nil {
		return err
	}
	os.Setenv("PATH", supervise.DefaultPath)
	tell := n.tell
	guard.Go(func() { n.plug(tell) })
	// A program that leaks files ends at its own limit; the machine's would end everybody else's.
	_ = os.WriteFile("/proc/sys/fs/file-max", []byte(strconv.Itoa(math.MaxInt)), 0)
	n.groups, err = cgroup.Open(cgroup.Root)
	if err != nil {
		n.tell.Problem(err)
		return nil
	}
	if missing := n.groups.Missing(); len(missing) > 0 {
		n.tell.Problem(fmt.Errorf("the kernel gives no cgroup controllers %v, without which k3s does not start", missing))
	}
	return nil
}

// verity acts on a block of /usr that is not what was built.
func (n *Node) verity(block string) {
	n.rotten.Do(func() {
		n.damaged.Store(&block)
		what := decide.OnDamage(n.up.Load(), n.cornered())
		fix := "write the image to the card again, or replace the card; the node reboots and tries again"
		if what == decide.Endure {
			fix = "write the image to the card again, or replace the card; there is no other system to go to"
		}
		n.base.For("verity").Problem(fault.New(fault.Verify, fix, "the card damaged the system of slot %s (block %s)", n.pre.Slot, block))
		o := order{verb: "reboot", reason: "verity-block-" + block, fault: true}
		switch what {
		case decide.Endure:
		case decide.Reboot:
			n.order(o)
		default:
			guard.Go(func() {
				n.saveReport()
				n.note(o)
				n.now("reboot")
			})
		}
	})
}

// cornered says that the boot script would only come back here.
func (n *Node) cornered() bool {
	c := decide.Corner{Disk: n.pre.Disk != nil, Trial: n.onTrial(), Last: n.pre.Cmdline["shelf.left"] == "0"}
	if r, err := n.record.Read(); err == nil {
		c.Other = r.State(bootstate.Other(n.pre.Slot))
	}
	return c.Cornered()
}

// onTrial says whether the running slot is under trial.
func (n *Node) onTrial() bool { return n.pre.Cmdline["shelf.trial"] == "1" }

// plug loads the modules of all devices, now that all modules are there. The rest of the boot goes on meanwhile.
func (n *Node) plug(t report.Teller) {
	defer close(n.plugged)
	if err := n.pre.Modules.Use("/usr/lib/modules/" + module.Release()); err != nil {
		t.Problem(fault.Wrap(err, fault.Internal, "write the image to the card again", "the system has no modules for this kernel"))
		return
	}
	t.Log("the index of modules is read")
	n.pre.Modules.Coldplug("", nil)
	t.Log("the modules of all devices are loaded")
}
