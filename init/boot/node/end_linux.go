package node

import (
	"context"
	"time"

	"imgbuild/init/boot/order"
	"imgbuild/init/start/layout"

	"golang.org/x/sys/unix"
)

// Stop stops the services, if there are any yet.
func (s *Shared) Stop(limit time.Duration) {
	units := s.Units.Load()
	if units == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := units.Stop(ctx); err != nil {
		s.Base.Say("stopping: %v", err)
	}
}

// Now ends the machine, whatever state it is in.
func (s *Shared) Now(verb string) {
	layout.Sync(10 * time.Second) // the disks are written out already, unless the end is a sudden one
	how := unix.LINUX_REBOOT_CMD_RESTART
	if verb == order.Poweroff {
		how = unix.LINUX_REBOOT_CMD_POWER_OFF
		s.Pre().Watchdog.Close()
	}
	time.Sleep(100 * time.Millisecond) // the last line has to leave a slow serial port
	for {
		_ = unix.Reboot(how)
		// Some boards cannot: the watchdog will.
		time.Sleep(10 * time.Second)
		how = unix.LINUX_REBOOT_CMD_RESTART
	}
}
