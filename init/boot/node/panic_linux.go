package node

import (
	"fmt"
	"strings"
	"time"

	"imgbuild/init/base/guard"
	"imgbuild/init/base/limit"
	"imgbuild/init/boot/crash"
	"imgbuild/init/boot/decide"
	"imgbuild/init/boot/order"
	"imgbuild/init/contract/fault"

	"golang.org/x/sys/unix"
)

// A panic of this program is noted in three places: the boot record, the report on BOOT and, with
// the stack, the crash file on the data partition (see package crash).

// noteLimit is how long noting a panic may take: what it needs may be what is broken.
const noteLimit = 30 * time.Second

// Panicked is what guard does with a panic, in whatever goroutine. It does not return.
func (s *Shared) Panicked(value any, stack []byte) {
	if !s.panicking.CompareAndSwap(false, true) {
		select {} // the first one is already on its way to a reboot
	}
	up := s.Up.Load()
	delay := decide.Pause(up, !up && s.Cornered())
	s.Pre().Watchdog.Limit(delay + 2*noteLimit)
	_ = limit.Within(noteLimit, func() error { s.notePanic(value, stack); return nil })
	s.Base.Say("rebooting in %.0f s", delay.Seconds())
	time.Sleep(delay)
	_ = limit.Within(noteLimit, func() error {
		s.Stop(noteLimit / 2)
		unix.Sync()
		return nil
	})
	s.Now(order.Reboot)
}

func (s *Shared) notePanic(value any, stack []byte) {
	s.Crash.Write(fmt.Sprintf("panic: %v\n\n%s", value, stack))
	s.Note(order.Order{Verb: order.Reboot, Reason: "panic", Fault: true})
	s.Base.For("panic").Problem(fault.New(fault.Internal, "the node reboots by itself; if it comes again, report it with "+crash.Kept, "the init program failed: %v", value))
	for line := range strings.Lines(string(stack)) {
		s.Base.Say("%s", strings.TrimSpace(line))
	}
	s.Base.Report.State("The init program failed, and the node reboots.")
	s.SaveReport()
	unix.Sync()
}

// Damaged acts on a block of /usr that is not what was built.
func (s *Shared) Damaged(block string) {
	s.rotten.Do(func() {
		s.damaged.Store(&block)
		what := decide.OnDamage(s.Up.Load(), s.Cornered())
		fix := "write the image to the card again, or replace the card; the node reboots and tries again"
		if what == decide.Endure {
			fix = "write the image to the card again, or replace the card; there is no other system to go to"
		}
		s.Base.For("verity").Problem(fault.New(fault.Verify, fix, "the card damaged the system of slot %s (block %s)", s.Pre().Slot, block))
		o := order.Order{Verb: order.Reboot, Reason: "verity-block-" + block, Fault: true}
		switch what {
		case decide.Endure:
		case decide.Reboot:
			s.Orders.Give(o)
		default:
			guard.Go(func() {
				s.SaveReport()
				s.Note(o)
				s.Now(order.Reboot)
			})
		}
	})
}
