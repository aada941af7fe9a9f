// Package health reports whether a node does what its role promises. The names of the checks come
// from the role's data (package checks); Judge is a pure function of Facts. The commit of a trial,
// shelf status and its exit code, the metrics and the alert all use its result.
package health

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"imgbuild/init/contract/checks"
	"imgbuild/init/k3s/datadisk"
	"imgbuild/init/storage/care"
	"imgbuild/init/storage/disks"
	"imgbuild/init/supervise"
)

// State is the outcome of a check, and of all of them.
type State string

// The states, in the words of shelf status.
const (
	Good     State = "good"
	Starting State = "starting" // time brings it
	Waiting  State = "waiting"  // for something from outside: a setting, a server, a person
	Bad      State = "bad"
)

// rank orders states: the highest one among its checks is the node's.
func (s State) rank() int {
	return slices.Index([]State{Good, Starting, Waiting, Bad}, s)
}

// Facts is the input of the checks.
type Facts struct {
	Booting   bool   // services are still being set up: one that is missing may come
	Damaged   string // the block of /usr that is not as built; empty for none
	Degraded  bool   // the data partition is not in use
	Rescue    string // what asked for that; empty if it is lost
	Disks     []Disk
	Addresses []netip.Prefix // of all interfaces
	Refused   []string       // keys of the configuration that are refused and were not before the upgrade
	DataDisk  *datadisk.Status
	Storage   []disks.Status // the disks of storage.disks
	Care      []care.Trouble // what they report
	Awaited   []string       // clients that the NFS server waits for

	Certificate *Certificate      // of k3s, that ends first; nil for none known, and while nobody knows the time
	Units       []supervise.State // except for logins on consoles, which end with every logout
	Without     []string          // units that the image was built without
	Answers     map[string]Answer // to probes, by check
}

// Certificate is one that k3s made for itself.
type Certificate struct {
	Name string        `json:"name"`
	Ends time.Time     `json:"ends"`
	Left time.Duration `json:"-"` // until then
}

// Disk is how full a file system is, in bytes.
type Disk struct {
	Path     string `json:"path"`
	Size     uint64 `json:"size"`
	Free     uint64 `json:"free"` // for users other than root
	Inode    int    `json:"inodes_percent"`
	ReadOnly bool   `json:"read_only,omitempty"` // as the kernel makes it after an error of the disk
}

// Result is the outcome of one check.
type Result struct {
	Check string   `json:"check"`
	State State    `json:"state"`
	Why   []string `json:"why,omitempty"` // one line each
}

// Verdict is the outcome of all checks.
type Verdict struct {
	State   State
	Why     []string // what is bad, then what is awaited
	Results []Result
}

// Judge runs the named checks. Names that this program does not know are left out, and so are
// checks of services that cannot be there: those that the image was built without, and the role's
// on a node without its data.
func Judge(names []string, f Facts) Verdict {
	v := Verdict{State: Good}
	for _, name := range names {
		c, ok := checks.Find(name)
		if !ok {
			continue
		}
		r := Result{Check: name, State: Good}
		switch {
		case table[name] != nil:
			r.State, r.Why = table[name](f)
		case name == checks.Services:
			r.State, r.Why = f.services(names)
		default:
			if r.State, r.Why, ok = f.unit(c, names); !ok {
				continue
			}
		}
		v.Results = append(v.Results, r)
		if r.State.rank() > v.State.rank() {
			v.State = r.State
		}
	}
	sorted := slices.Clone(v.Results)
	slices.SortStableFunc(sorted, func(a, b Result) int { return cmp.Compare(b.State.rank(), a.State.rank()) })
	for _, r := range sorted {
		v.Why = append(v.Why, r.Why...)
	}
	return v
}

// Passed names the checks that passed: what the next system will be measured by.
func (v Verdict) Passed() []string {
	var names []string
	for _, r := range v.Results {
		if r.State == Good {
			names = append(names, r.Check)
		}
	}
	return names
}

// Of returns the result of one check; false when it was not asked for.
func (v Verdict) Of(check string) (Result, bool) {
	i := slices.IndexFunc(v.Results, func(r Result) bool { return r.Check == check })
	if i < 0 {
		return Result{}, false
	}
	return v.Results[i], true
}
