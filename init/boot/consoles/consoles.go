// Package consoles lets people log in on the consoles of the kernel.
package consoles

import (
	"context"
	"os"
	"strings"
	"time"

	"imgbuild/init/base/guard"
	"imgbuild/init/supervise"
)

// Prefix begins the names of the units that ask for a login on a console. They end with every
// logout, which is not a failure.
const Prefix = "getty-"

// Apply lets people log in on every console, if the user has a password: without one a prompt would
// only mislead. hash is that of the password, as in /etc/shadow. It may be called again when the
// configuration has changed.
func Apply(units *supervise.Supervisor, hash string, problem func(error)) {
	active, _ := os.ReadFile("/sys/class/tty/console/active")
	apply(units, gettys(strings.Fields(string(active))), hash != "" && hash != "!" && hash != "*", problem)
}

// apply makes the units run, or not.
func apply(units *supervise.Supervisor, list []supervise.Unit, wanted bool, problem func(error)) {
	for _, u := range list {
		st, known := units.State(u.Name)
		switch {
		case !wanted && !known:
		case !wanted:
			if st.Phase != supervise.Stopped {
				guard.Go(func() { _ = units.StopUnit(context.Background(), u.Name) })
			}
		case !known:
			if err := units.Add(u); err != nil {
				problem(err)
				continue
			}
			problem(units.StartUnit(u.Name))
		case st.Phase == supervise.Stopped:
			problem(units.StartUnit(u.Name))
		}
	}
}

// gettys makes the units for the kernel's consoles. tty0 is whatever screen is shown; its login is
// on the first one.
func gettys(consoles []string) []supervise.Unit {
	var units []supervise.Unit
	for _, tty := range consoles {
		command := []string{"/usr/sbin/agetty", "--local-line", "--keep-baud", "115200,57600,38400,9600", tty, "vt220"}
		if rest, ok := strings.CutPrefix(tty, "tty"); ok && strings.Trim(rest, "0123456789") == "" {
			if rest == "0" {
				tty = "tty1"
			}
			command = []string{"/usr/sbin/agetty", "--noclear", tty, "linux"}
		}
		units = append(units, supervise.Unit{
			Name: Prefix + tty, Command: command, Optional: true, KeepOthers: true,
			// It ends with every logout, which is not a failure.
			Delay: time.Second, MaxDelay: 2 * time.Second, StopOrder: 95,
		})
	}
	return units
}
