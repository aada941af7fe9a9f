package boot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"imgbuild/init/base/guard"
	"imgbuild/init/boot/decide"
	"imgbuild/init/boot/record"
	"imgbuild/init/contract/fatfile"
	"imgbuild/init/disk"
	"imgbuild/init/net/clock"
	"imgbuild/init/settings/sources"
	"imgbuild/init/start/layout"
	"imgbuild/init/supervise"

	"golang.org/x/sys/unix"
)

// order is what somebody wants PID 1 to do: reboot, poweroff or reload, and why.
type order struct {
	verb, reason string
	fault        bool // the system itself is at fault
}

// order gives one without waiting; those that come while the node is ending are lost.
func (n *Node) order(o order) {
	select {
	case n.orders <- o:
	default:
	}
}

// signals makes Ctrl-Alt-Del and the signals that other inits know into orders.
func (n *Node) signals() {
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_CAD_OFF) // the kernel then sends SIGINT instead of rebooting at once
	got := make(chan os.Signal, 4)
	signal.Notify(got, syscall.SIGINT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGPWR)
	// A closed pipe or terminal must not end PID 1.
	signal.Ignore(syscall.SIGPIPE, syscall.SIGHUP)
	guard.Go(func() {
		for s := range got {
			switch s {
			case syscall.SIGINT:
				n.order(order{verb: "reboot", reason: "ctrl-alt-del"})
			case syscall.SIGTERM:
				n.order(order{verb: "reboot", reason: "signal"})
			default:
				n.order(order{verb: "poweroff", reason: "signal"})
			}
		}
	})
}

// stopLimit is how long the services have to end.
const stopLimit = 90 * time.Second

// hearOrder is how long who ordered the end has at least to hear over ssh that it is on its way.
const hearOrder = time.Second

// sweepGrace is how long what is no service has to end after that.
const sweepGrace = 5 * time.Second

// end stops everything in order and reboots or switches off. It does not return.
func (n *Node) end(o order) {
	n.tell = n.tell.For("shutdown")
	n.tell.Say("%s: %s", o.verb, o.reason)
	n.pre.Watchdog.Limit(stopLimit + 60*time.Second)
	n.led.Blink(6)
	if n.units != nil {
		began := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
		if err := n.units.Stop(ctx); err != nil {
			n.tell.Say("stopping: %v", err)
		}
		cancel()
		time.Sleep(hearOrder - time.Since(began))
		// Logins, and what commands and units have left behind: who still writes keeps its file system from being closed.
		if err := supervise.Sweep(context.Background(), sweepGrace); err != nil {
			n.tell.Say("stopping: %v", err)
		}
	}
	if n.lay != nil {
		n.saveClock()
		n.saveTally()
	}
	n.note(o)
	if n.lay != nil {
		if err := markStopped(stateDir, o.reason); err != nil {
			n.tell.Say("%v", err)
		}
	}
	n.crash.close()
	layout.Undo(n.tell)
	n.tell.Say("%s now", o.verb)
	n.now(o.verb)
}

// saveClock keeps the time for a board without a battery.
func (n *Node) saveClock() {
	if err := clock.Save(clock.Path, time.Now()); err != nil {
		n.tell.Say("%v", err)
	}
	if n.clock != nil && n.clock.Status().Synced {
		_ = clock.SaveRTC() // most boards have none
	}
}

// now ends the machine, whatever state it is in.
func (n *Node) now(verb string) {
	layout.Sync(10 * time.Second) // the disks are written out already, unless the end is a sudden one
	how := unix.LINUX_REBOOT_CMD_RESTART
	if verb == "poweroff" {
		how = unix.LINUX_REBOOT_CMD_POWER_OFF
		n.pre.Watchdog.Close()
	}
	time.Sleep(100 * time.Millisecond) // the last line has to leave a slow serial port
	for {
		_ = unix.Reboot(how)
		// Some boards cannot: the watchdog will.
		time.Sleep(10 * time.Second)
		how = unix.LINUX_REBOOT_CMD_RESTART
	}
}

// die ends a boot that cannot go on: it says why everywhere, notes it in the record, waits and reboots. The attempts
// that the boot script counts bring the other slot's turn.
func (n *Node) die(reason string, err error) {
	n.tell.Problem(err)
	n.tell.Report.State("The node could not start. It tries again, or the other system if there is one.")
	n.saveReport()
	delay := decide.Pause(false, n.cornered())
	n.note(order{verb: "reboot", reason: reason, fault: true})
	n.tell.Say("step %s failed; rebooting in %.0f s", n.tell.Step, delay.Seconds())
	n.pre.Watchdog.Limit(delay + 30*time.Second)
	time.Sleep(delay)
	if n.units != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		_ = n.units.Stop(ctx)
		cancel()
	}
	n.now("reboot")
}

// note notes in the boot record why this boot ends, for the next one and for people.
func (n *Node) note(o order) {
	n.write(decide.Ending{Trial: n.onTrial(), Fault: o.fault}.Note(), o.reason)
}

// write writes a note into the boot record.
func (n *Node) write(note decide.Note, reason string) {
	if err := n.record.Note(note, reason); err != nil && !errors.Is(err, record.ErrNoDisk) {
		n.base.Say("%v", err)
	}
}

// reportName is the file on BOOT that every laptop can read.
const reportName = "report.txt"

// saveReport writes the report in place, so that no file system structure of BOOT is ever touched by the node.
func (n *Node) saveReport() {
	if n.pre.Disk == nil {
		return
	}
	text := n.base.Report.Text()
	_ = os.WriteFile("/run/shelf/report.txt", text, 0o644)
	if err := overwrite(n.pre.Disk.Partition(disk.Boot), reportName, text, '\n'); err != nil {
		n.base.Say("%s on the boot partition was not written: %v", reportName, err)
	}
}

// overwrite replaces the content of a file on BOOT, below the file system, whose mount is then told to read it anew.
func overwrite(device, name string, text []byte, pad byte) error {
	f, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := fatfile.Overwrite(f, name, text, pad); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("writing to %s: %w", device, err)
	}
	if seen, err := os.Open(filepath.Join(sources.Boot, name)); err == nil {
		_ = unix.Fadvise(int(seen.Fd()), 0, 0, unix.FADV_DONTNEED)
		seen.Close()
	}
	return nil
}
