package install

import (
	"fmt"
	"time"

	"imgbuild/init/contract/bundle"
	"imgbuild/init/contract/fault"
	"imgbuild/init/upgrade/ledger"
	"imgbuild/init/upgrade/source"
)

// Facts are what is known of a node before an upgrade. PID 1 gives them.
type Facts struct {
	Hostname string `json:"hostname"`
	Family   string `json:"family"`
	Arch     string `json:"arch"`
	Role     string `json:"role"`
	Version  string `json:"version"`            // of the running system
	K3s      string `json:"k3s,omitempty"`      // version of its k3s
	Slot     string `json:"slot"`               // that runs
	Running  string `json:"running"`            // device of its partition
	Target   string `json:"target"`             // device of the other partition
	Disk     string `json:"disk,omitempty"`     // device of the disk that both are on
	Board    string `json:"board,omitempty"`    // as the boot script names it
	Trial    bool   `json:"trial"`              // the running slot is under trial
	Armed    bool   `json:"armed"`              // the other slot is, and was not tried yet
	Degraded bool   `json:"degraded"`           // nothing is kept
	Booting  bool   `json:"booting"`            // the node takes no orders yet
	Synced   bool   `json:"synced"`             // the clock was set by a time server since the boot
	Deadline int64  `json:"deadline,omitempty"` // seconds that a trial has on this node; 0: as the new system requires

	Ledger ledger.Ledger `json:"ledger"`
}

// Ready reports why no upgrade can be installed now, whatever it is.
func (f Facts) Ready() error {
	switch {
	case f.Booting:
		return fault.New(fault.Unhealthy, "try again in a moment", "the node is still booting")
	case f.Degraded:
		return fault.New(fault.Device, "run shelf data", "the data partition is not in use, and with it nothing that an upgrade could fall back on")
	case f.Trial:
		return fault.New(fault.Unhealthy, "wait until it is committed, or run shelf commit or shelf rollback", "the running system is under trial itself")
	case f.Target == "" || f.Running == "":
		return fault.New(fault.Device, "", "the slots of this disk were not found")
	}
	return nil
}

// Judge reports why a node must not take a bundle; nil if it may, with what people should know. The
// kind of its source decides whether one that is stale is refused. force takes one that was rolled
// back here before; it changes nothing else.
func Judge(m *bundle.Manifest, kind string, f Facts, space int64, force bool, now time.Time) (notes []string, err error) {
	if err := f.Ready(); err != nil {
		return nil, err
	}
	if err := m.Accept(bundle.Node{Family: f.Family, Role: f.Role, Floor: f.Ledger.Floor, Space: space}); err != nil {
		return nil, err
	}
	if m.Arch != f.Arch {
		return nil, fault.New(fault.Input, "take the bundle for "+f.Arch, "the bundle is for %s, this machine is %s", m.Arch, f.Arch)
	}
	if m.Expired(now) {
		day := time.Unix(m.Expires, 0).UTC().Format(time.DateOnly)
		switch {
		case f.Synced && source.Expires(kind):
			return nil, fault.New(fault.Verify, "take a newer one", "the bundle is stale since %s", day)
		case f.Synced:
			notes = append(notes, fmt.Sprintf("the bundle is stale since %s: look for a newer one", day))
		default:
			notes = append(notes, fmt.Sprintf("the bundle may be stale since %s: the time of this node comes from no time server", day))
		}
	}
	if !force {
		if err := f.Ledger.Refuse(m.Slot.Manifest); err != nil {
			return nil, err
		}
	}
	if f.Armed {
		if a := f.Ledger.Attempt; a == nil || a.Bundle != m.Slot.Manifest {
			return nil, fault.New(fault.Unhealthy, "reboot into it, or take it back with shelf rollback", "another upgrade waits for the next boot")
		}
	}
	return notes, nil
}
