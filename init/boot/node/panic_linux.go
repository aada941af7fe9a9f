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
	"imgbuild/init/contract/bootstate"
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
	now := time.Now()
	counts, err := s.Damage.Add(block, now)
	if !counts {
		return
	}
	if err != nil {
		s.Base.Say("the damaged block cannot be noted: %v", err)
	}
	s.damaged.CompareAndSwap(nil, &block)
	s.damage(block, now)
}

// Redecide acts on blocks that were found before it was known what was found in earlier boots.
func (s *Shared) Redecide() {
	if block := s.damaged.Load(); block != nil {
		s.damage(*block, time.Now())
	}
}

func (s *Shared) damage(block string, now time.Time) {
	slot := s.Pre().Slot
	other := bootstate.Other(slot)
	d := decide.Damaged{Disk: s.Pre().Disk != nil, Trial: s.OnTrial()}
	d.Here, d.There, d.Since, d.Ever = s.Damage.Known(other, now)
	if r, err := s.Record.Read(); err == nil {
		d.Other = r.State(other)
		d.Trial = d.Trial && r.Trial == slot // not committed since
	}
	what := d.Decide()
	reason := "verity-block-" + block
	if what == decide.Leave { // noted first: a node that cannot note it would come back and reboot again
		err := s.Damage.Rebooting(now)
		if err == nil {
			s.leaving.Store(true)
			err = s.Record.Yield(slot, reason)
		}
		if err != nil {
			s.leaving.Store(false)
			s.Base.Say("slot %s cannot be left: %v", slot, err)
			what = decide.Endure
		}
	}
	fix := map[decide.Damage]string{
		decide.Watch:  "nothing yet; replace the card if this comes again",
		decide.Endure: "replace the card; there is no better system to go to, and programs may fail",
		decide.Leave:  "replace the card; the node reboots into the system of slot " + other,
		decide.End:    "replace the card if this comes again; the trial ends",
	}[what]
	s.Base.Report.Drop("verity")
	s.Base.For("verity").Problem(fault.New(fault.Verify, fix, "the card damaged the system of slot %s (block %s)", slot, block))
	if what != decide.Leave && what != decide.End {
		guard.Go(s.SaveReport)
		return
	}
	s.rotten.Do(func() {
		o := order.Order{Verb: order.Reboot, Reason: reason, Fault: true}
		if s.Up.Load() {
			s.Orders.Give(o)
			return
		}
		guard.Go(func() { // nobody takes orders yet
			s.SaveReport()
			s.Note(o)
			s.Now(order.Reboot)
		})
	})
}
