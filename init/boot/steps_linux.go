// Package boot is the life of PID 1: the table of steps from the kernel's hand-over to running
// services, what happens when one of them fails, and the orderly end. Its decisions are in package
// decide; the subjects of a running node are packages of their own below this one.
package boot

import (
	"time"

	"imgbuild/init/status"
)

// Step is one step of the boot. After a fatal one the boot cannot continue: the node reports why
// and reboots, so that the boot script can count and take the other slot. The others are reported,
// and the node comes up as far as it can.
type Step struct {
	Name  string
	Limit time.Duration // the watchdog resets a board whose step takes longer; 0 for none
	Fatal bool
	Parts []Part
}

// Part is a named part of a step. The error of one that is needed ends the step; that of another is
// reported, and the step continues.
type Part struct {
	Name   string
	Needed bool
	Run    func(*Node) error
}

// Steps is the boot.
var Steps = []Step{
	{"preinit", 3 * time.Minute, true, []Part{{"machine", true, findMachine}}},
	{"layout", 65 * time.Minute, true, []Part{ // a large damaged disk is checked twice
		{"root", true, makeRoot}, {"hardening", false, hardenNode}, {"devices", false, loadModules}, {"cgroups", false, openGroups},
	}},
	{"config", 10 * time.Minute, false, []Part{
		{"clock", false, restoreClock}, {"marks", false, markBoot}, {"crash", false, takeCrash}, {"upgrade", false, openLedger}, {"import", false, importBoot},
		{"keys", false, makeKeys}, {"greeting", false, greet}, {"devices", false, awaitDevices}, {"volume", false, readVolume},
		{"name", false, nameNode}, {"settings", false, applySettings}, {"init_cmd", false, initCommands}, {"boot_cmd", false, bootCommands},
	}},
	{"network", 5 * time.Minute, false, []Part{{"network", false, startNetwork}, {"fetch", false, fetchSources}}},
	{"services", 5 * time.Minute, false, []Part{
		{"socket", false, serveSocket}, {"sshd", false, startSSHD}, {"wifi", false, startRadio}, {"run_cmd", false, runCommands},
		{"role", false, startRole}, {"services", false, startExtra}, {"login", true, awaitSSHD},
	}},
}

// step does one step: times it, prints it, and decides what a failure means.
func (n *Node) step(number int, s Step) {
	n.LED.Load().Blink(number)
	n.Pre().Watchdog.Limit(s.Limit)
	n.reporter = n.reporter.For(s.Name)
	start := time.Now()
	err := n.parts(s.Parts)
	took := time.Since(start)
	n.reporter.Report.Step(s.Name, took, err == nil)
	n.Steps.Add(status.Step{Name: s.Name, Seconds: took.Seconds(), OK: err == nil})
	if err == nil {
		n.reporter.Console.Step(s.Name, took)
		return
	}
	if s.Fatal {
		n.die(s.Name+" failed", err)
	}
	n.reporter.Problem(err)
	n.reporter.Say("step %s failed %.2fs", s.Name, took.Seconds())
	n.SaveReport()
}

// parts does the parts of a step, with a line for each in the kernel's log.
func (n *Node) parts(list []Part) error {
	for _, p := range list {
		start := time.Now()
		err := p.Run(n)
		n.reporter.Log("step %s: %s %.2fs", n.reporter.Step, p.Name, time.Since(start).Seconds())
		if err != nil && p.Needed {
			return err
		}
		n.reporter.Problem(err)
	}
	return nil
}
