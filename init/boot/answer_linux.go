package boot

import (
	"imgbuild/init/contract/fault"
	"imgbuild/init/status/control"
)

// answer serves the command on the node. Reading is for everybody, as far as it holds no secrets; the rest is for those who
// are trusted. A room adds its verbs here, one case and one method each.
func (n *Node) answer(r control.Request, trusted bool) (any, error) {
	if r.Verb == "status" {
		return n.status(), nil
	}
	if !trusted {
		return nil, fault.New(fault.Usage, "use sudo", "only root and the group %s may give the order %q", control.Group, r.Verb)
	}
	switch r.Verb {
	case "config-check", "config-apply", "config-confirm", "config-revert":
		return n.tryVerb(r)
	case "reboot", "poweroff", "reload":
		reason := r.Reason
		if reason == "" {
			reason = r.Verb
		}
		n.order(order{verb: r.Verb, reason: reason})
		return nil, nil
	case "start", "stop", "restart":
		return n.unitOrder(r)
	case "logs":
		return n.logs(r)
	case "lognames":
		return n.logNames(), nil
	case "dmesg":
		return n.dmesg()
	case "reset":
		return n.reset(r)
	}
	return nil, fault.New(fault.Usage, "", "unknown request %q", r.Verb)
}
