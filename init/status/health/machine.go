package health

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"imgbuild/init/contract/checks"
	"imgbuild/init/k3s/datadisk"
	"imgbuild/init/storage/disks"
)

// certificateWarning is how long before its end a certificate of k3s is reported. The node restarts
// k3s sooner than that by itself.
const certificateWarning = 45 * 24 * time.Hour

// table holds the checks of the machine itself.
var table = map[string]func(Facts) (State, []string){
	checks.Usr: func(f Facts) (State, []string) {
		if f.Damaged == "" {
			return Good, nil
		}
		return Bad, []string{"/usr is damaged (block " + f.Damaged + "): programs may fail"}
	},
	checks.Data: func(f Facts) (State, []string) {
		switch {
		case f.Rescue != "":
			return Bad, []string{"RESCUE: " + f.Rescue + " asks for it; data partition and services are left alone (sudo shelf data)"}
		case f.Degraded:
			return Bad, []string{"DEGRADED: the data partition is not in use, nothing is kept (sudo shelf data)"}
		}
		return Good, nil
	},
	checks.Writable: func(f Facts) (State, []string) {
		return fileSystems(f.Disks, func(d Disk) string {
			if d.ReadOnly {
				return d.Path + " takes no more writes: the kernel has met errors in it (sudo shelf dmesg); a reboot checks it"
			}
			return ""
		})
	},
	checks.Space: func(f Facts) (State, []string) {
		return fileSystems(f.Disks, func(d Disk) string {
			switch {
			case d.ReadOnly: // reported by Writable
			case d.Size > 0 && d.Free < d.Size/50:
				return d.Path + " is full"
			case d.Inode >= 99:
				return d.Path + " is full: there is space, but not for more files"
			}
			return ""
		})
	},
	checks.Config: func(f Facts) (State, []string) {
		if len(f.Refused) == 0 {
			return Good, nil
		}
		return Bad, []string{"the configuration is refused where it was not before the upgrade: " + strings.Join(f.Refused, ", ")}
	},
	checks.Address: func(f Facts) (State, []string) {
		if slices.ContainsFunc(f.Addresses, reachable) {
			return Good, nil
		}
		return Waiting, []string{"no interface has an address"}
	},
	checks.Certificates: func(f Facts) (State, []string) {
		c := f.Certificate
		if c == nil || c.Left >= certificateWarning {
			return Good, nil
		}
		if c.Left < 0 {
			return Bad, []string{"the certificate " + c.Name + " of k3s has ended on " + c.Ends.Format(time.DateOnly) + " (sudo shelf restart k3s)"}
		}
		return Waiting, []string{"the certificate " + c.Name + " of k3s ends on " + c.Ends.Format(time.DateOnly) + " (sudo shelf restart k3s)"}
	},
	checks.StorageDisks: func(f Facts) (State, []string) {
		state, why := Good, []string(nil)
		for _, d := range f.Storage {
			s := Good
			switch {
			case d.State == disks.Busy:
				s = Starting
			case d.State != disks.Mounted || d.ReadOnly:
				s = Bad
			case d.Degraded:
				s = Waiting
			}
			if s == Good {
				continue
			}
			why = append(why, "disk "+d.Name+": "+d.Detail)
			if s.rank() > state.rank() {
				state = s
			}
		}
		if len(f.Storage) == 0 && f.Booting {
			return Starting, []string{"the disks are looked at"}
		}
		return state, why
	},
	checks.StorageCare: func(f Facts) (State, []string) {
		state, why := Good, []string(nil)
		for _, t := range f.Care {
			s := Waiting // for a person
			if t.Bad {
				s = Bad
			}
			why = append(why, t.Text)
			if s.rank() > state.rank() {
				state = s
			}
		}
		return state, why
	},
	checks.NFSLocks: func(f Facts) (State, []string) {
		if len(f.Awaited) == 0 {
			return Good, nil
		}
		return Starting, []string{"the NFS server waits for clients to take back their locks: " + strings.Join(f.Awaited, ", ")}
	},
	checks.DataDisk: func(f Facts) (State, []string) {
		switch d := f.DataDisk; {
		case d == nil || d.State == datadisk.None || d.State == datadisk.Mounted:
			return Good, nil
		case d.State == datadisk.Busy:
			return Starting, []string{d.Detail}
		default:
			return Bad, []string{d.Detail}
		}
	},
}

// fileSystems is bad when trouble reports something of one of them.
func fileSystems(list []Disk, trouble func(Disk) string) (State, []string) {
	state, why := Good, []string(nil)
	for _, d := range list {
		if text := trouble(d); text != "" {
			state, why = Bad, append(why, text)
		}
	}
	return state, why
}

// reachable reports whether somebody on another machine can use an address: it is more than the
// link's own.
func reachable(p netip.Prefix) bool {
	return p.IsValid() && !p.Addr().IsLinkLocalUnicast() && !p.Addr().IsLoopback()
}
