package boot

import (
	"imgbuild/init/contract/fault"
	"imgbuild/init/settings/sources"
	"imgbuild/init/start/layout"
	"imgbuild/init/status/control"
)

// reset notes that the next boot makes the data partition new but for the configuration and what makes the node the same
// one, and reboots.
func (n *Node) reset(r control.Request) (any, error) {
	if n.lay.Degraded {
		return nil, fault.New(fault.Device, "say shelf data", "the data partition is not in use, there is nothing to reset")
	}
	if err := layout.OrderReset(sources.Store); err != nil {
		return nil, fault.Wrap(err, fault.Device, "", "the order to reset cannot be noted")
	}
	n.order(order{verb: "reboot", reason: "reset"})
	return nil, nil
}
