package boot

import (
	"context"
	"fmt"
	"time"

	"imgbuild/init/base/guard"
	"imgbuild/init/base/uevent"
	"imgbuild/init/k3s"
	"imgbuild/init/k3s/datadisk"
	"imgbuild/init/status"
	"imgbuild/init/supervise"
)

// dataDiskLimit is how long after the kernel's start a data disk may still be on its way; a USB disk spins up within 15 s. The
// rest of the boot does not wait for it.
const dataDiskLimit = 30 * time.Second

// watchDisk makes the node's data disk and follows its comings and goings.
func (n *Node) watchDisk() {
	d := &datadisk.Disk{Boot: n.pre.Disk.Name, Host: n.host, Load: func(name string) error { return n.pre.Modules.Load(name) }, Tell: n.base.Say}
	n.mu.Lock()
	n.data = d
	n.mu.Unlock()
	n.pre.Modules.Hear(func(ev uevent.Event) {
		switch state := n.data.Status().State; {
		case ev["SUBSYSTEM"] != "block":
		case ev["ACTION"] == "remove" && state == datadisk.Mounted:
			guard.Go(n.diskRemoved)
		case state == datadisk.Absent && ev["ACTION"] != "remove":
			n.units.Recheck()
		}
	})
}

// diskStatus tells of the data disk; nil if there is none.
func (n *Node) diskStatus() *datadisk.Status {
	n.mu.Lock()
	d := n.data
	n.mu.Unlock()
	if d == nil {
		return nil
	}
	if s := d.Status(); s.State != datadisk.None {
		return &s
	}
	return nil
}

// dataDisk is called before k3s starts: it sees to k3s' data, or says what is awaited.
func (n *Node) dataDisk(ctx context.Context, say supervise.Say) error {
	cfg := n.current()
	t := n.base.For("data disk")
	was := n.data.Status().State
	for {
		err := n.data.Ready(ctx, cfg.Data.Device, k3s.DataDir(cfg))
		switch {
		case err == nil:
			if t.Report.Drop(t.Step); n.data.Status().State == datadisk.Mounted && was != datadisk.Mounted {
				n.base.Say("data disk: %s holds k3s' data", n.data.Status().Path)
				n.order(order{verb: "reload", reason: "data disk"}) // files that the configuration lays into k3s' directories belong on the disk
			}
			if was == datadisk.Absent || was == datadisk.Refused {
				n.saveReport()
			}
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case datadisk.IsAbsent(err) && time.Since(status.Started()) < dataDiskLimit:
			say.Progress(fmt.Sprintf("for %v", err))
			select {
			case <-time.After(250 * time.Millisecond):
			case <-ctx.Done():
				return ctx.Err()
			}
			continue
		}
		t.Report.Drop(t.Step)
		t.Problem(err)
		n.saveReport()
		return &supervise.Waiting{What: err.Error()}
	}
}

// diskRemoved ends what lived on a data disk that was pulled out. k3s starts again when it is back.
func (n *Node) diskRemoved() {
	if n.data.Alive() {
		return // another disk
	}
	n.base.Say("data disk: it was pulled out while it was in use; k3s and its pods are stopped")
	ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
	defer cancel()
	if err := n.units.StopUnit(ctx, k3s.Name); err != nil {
		n.base.Say("%v", err)
	}
	if err := k3s.StopPods(ctx, n.groups); err != nil {
		n.base.Say("%v", err)
	}
	if err := n.units.StartUnit(k3s.Name); err != nil {
		n.base.Say("%v", err)
	}
}
