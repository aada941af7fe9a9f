package boot

import (
	"context"
	"os"
	"strings"
	"time"

	"imgbuild/init/base/guard"
	"imgbuild/init/contract/config"
	"imgbuild/init/supervise"
)

// gettyUnit begins the names of the units that ask for a login on a console.
const gettyUnit = "getty-"

// consoles lets people log in on every console of the kernel, if the user has a password: without one a prompt would only
// mislead. It may be called again when the configuration has changed.
func (n *Node) consoles(cfg *config.Config) {
	hash := cfg.K3OS.Password
	wanted := hash != "" && hash != "!" && hash != "*"
	active, _ := os.ReadFile("/sys/class/tty/console/active")
	for _, u := range gettys(strings.Fields(string(active))) {
		st, known := n.units.State(u.Name)
		switch {
		case !wanted && !known:
		case !wanted:
			if st.Phase != supervise.Stopped {
				guard.Go(func() { _ = n.units.StopUnit(context.Background(), u.Name) })
			}
		case !known:
			if err := n.units.Add(u); err != nil {
				n.base.Problem(err)
				continue
			}
			n.base.Problem(n.units.StartUnit(u.Name))
		case st.Phase == supervise.Stopped:
			n.base.Problem(n.units.StartUnit(u.Name))
		}
	}
}

// gettys makes the units for the kernel's consoles. tty0 is whatever screen is shown; its login is on the first one.
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
			Name: gettyUnit + tty, Command: command, Optional: true, KeepOthers: true,
			// It ends with every logout, which is no failure.
			Delay: time.Second, MaxDelay: 2 * time.Second, StopOrder: 95,
		})
	}
	return units
}
