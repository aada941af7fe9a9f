package datadisk

import "imgbuild/init/contract/fault"

// Marker is what a data disk carries in its root, and what the node keeps of the disk that it uses.
type Marker struct {
	ID   string `json:"id"`             // 32 hex digits, made when the disk was taken into use
	Node string `json:"node,omitempty"` // the hostname then, for people
}

// situation is all that counts for what is done with a disk.
type situation struct {
	spec     string  // data.device; empty: none
	known    *Marker // the node's: whose data it has
	restored *Marker // of the disk that had the data of the backup from which this node was made, while it has none yet
	marker   *Marker // the disk's
	empty    bool    // the disk has nothing on it
	local    bool    // k3s has data on the node's own disk
	move     bool    // somebody asked for them to be moved
}

// action is what to do with a disk.
type action uint8

const (
	refuse action = iota
	stay          // no data disk: the node's own
	use           // the disk as it is
	begin         // the empty disk, from now on
	adopt         // the disk of ours that this node does not know yet
	carry         // move the node's data there
)

// commands that the refusals name.
const (
	moveCommand   = "sudo shelf disk move"
	forgetCommand = "sudo shelf disk forget"
)

// absence decides without a disk: none is named, or the one that is named is away.
func (s situation) absence() (action, error) {
	if s.spec == "" && s.known == nil {
		return stay, nil
	}
	if s.spec == "" {
		return refuse, fault.New(fault.Input, "put data.device back, or run `"+forgetCommand+"` to begin without those data",
			"k3s' data are on a disk of their own, which the configuration no longer names")
	}
	if s.restored != nil && s.local {
		return refuse, absent{s.spec, "attach an empty disk, and k3s' data of the backup are moved there; attach the old one, and its own are used; " +
			"take data.device out, and k3s runs on the node's own disk"}
	}
	return refuse, absent{s.spec, "k3s starts when it is attached, and never without it"}
}

// decide returns what to do with the disk that is there.
func (s situation) decide() (action, error) {
	const wrong = "attach the right disk; if its data are given up for good, run `" + forgetCommand + "`"
	switch {
	case s.known != nil && s.marker != nil && s.known.ID == s.marker.ID:
		return use, nil
	case s.known == nil && s.restored != nil && s.marker != nil && s.restored.ID == s.marker.ID:
		return use, nil
	case s.marker != nil && s.known == nil && s.restored != nil:
		return refuse, fault.New(fault.Input, "attach the old disk, or an empty one: the data of the backup are moved there",
			"%s is the data disk of %s, not the one that the backup's node had", s.spec, or(s.marker.Node, "another node"))
	case s.marker != nil && s.known != nil:
		return refuse, fault.New(fault.Input, wrong, "%s is the data disk of %s, not the one that this node uses", s.spec, or(s.marker.Node, "another node"))
	case s.marker != nil && s.local:
		return refuse, fault.New(fault.Input, "move /var/lib/rancher/k3s out of the way to take the disk's, or take data.device out to take the node's",
			"k3s has data on the node's own disk and on %s (of %s)", s.spec, or(s.marker.Node, "a node"))
	case s.marker != nil:
		return adopt, nil
	case !s.empty:
		return refuse, fault.New(fault.Input, "attach the right disk, or empty this one", "%s holds files that are not k3s' data of this system; nothing was touched", s.spec)
	case s.local && (s.move || s.restored != nil):
		return carry, nil
	case s.local && s.known == nil:
		return refuse, fault.New(fault.Input, "move them with `"+moveCommand+"` (the node reboots), or take data.device out",
			"k3s' data are on the node's own disk; %s would be an empty cluster", s.spec)
	case s.known != nil:
		return refuse, fault.New(fault.Input, wrong, "%s is empty, but this node has its k3s data on another disk", s.spec)
	}
	return begin, nil
}

func or(a, b string) string {
	if a == "" {
		return b
	}
	return a
}
