package boot

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"imgbuild/init/base/mount"
	"imgbuild/init/base/report"
	"imgbuild/init/contract/bootstate"
	"imgbuild/init/k3s/datadisk"
	"imgbuild/init/net/network"
	"imgbuild/init/status/monitor"
	"imgbuild/init/supervise"

	"golang.org/x/sys/unix"
)

// Status is how the node is, as shelf status prints it. Its JSON is read by scripts and by imgbuild: fields may be added,
// none changes its meaning. What is not known is left out.
type Status struct {
	Hostname string `json:"hostname"`
	Role     string `json:"role"`
	Board    string `json:"board"`
	Model    string `json:"model"`
	Version  string `json:"version"` // of the slot
	Slot     string `json:"slot"`
	Program  string `json:"program"`
	Kernel   string `json:"kernel"`

	Health  string   `json:"health"`             // good, starting, waiting or bad
	Why     []string `json:"why,omitempty"`      // what is bad or awaited, one line each
	LastEnd string   `json:"last_end,omitempty"` // why the last boot ended

	Degraded bool       `json:"degraded"`         // nothing is kept: the data partition is not in use
	Rescue   string     `json:"rescue,omitempty"` // who asked for that; empty if it is lost
	Up       float64    `json:"up"`               // seconds since the kernel started
	LockDate time.Time  `json:"lock_date"`
	LockAge  int        `json:"lock_age_days"`
	Record   *Record    `json:"record,omitempty"`
	Steps    []stepTime `json:"steps"`

	Services       []ServiceStatus  `json:"services"`
	Network        []Interface      `json:"network"`
	Disks          []DiskUse        `json:"disks"`
	DataDisk       *datadisk.Status `json:"data_disk,omitempty"` // that data.device names
	Written        *Written         `json:"written,omitempty"`
	Machine        monitor.Machine  `json:"machine"`
	Memory         Memory           `json:"memory"`
	Load           string           `json:"load"` // of 1, 5 and 15 minutes
	Clock          Clock            `json:"clock"`
	Backup         *time.Time       `json:"backup,omitempty"`          // of the newest one
	BackupFailures *int             `json:"backup_failures,omitempty"` // in a row

	Problems []report.Problem `json:"problems"`
}

// The values of Status.Health.
const (
	Good     = "good"
	Starting = "starting"
	Waiting  = "waiting" // for something from outside: a setting, a server
	Bad      = "bad"
)

// Record is the boot record in words.
type Record struct {
	Active string `json:"active"`
	Trial  string `json:"trial,omitempty"`
	Left   int    `json:"left"`
	A      string `json:"a"`
	B      string `json:"b"`
}

// ServiceStatus is one service.
type ServiceStatus struct {
	Name     string    `json:"name"`
	Phase    string    `json:"phase"`
	Ready    bool      `json:"ready"`
	Detail   string    `json:"detail,omitempty"`
	PID      int       `json:"pid,omitempty"`
	Since    time.Time `json:"since"`
	Starts   int       `json:"starts"`
	Restarts int       `json:"restarts"`
	Failures int       `json:"failures"`
	LastExit string    `json:"last_exit,omitempty"`
	Bad      bool      `json:"bad"`
}

// Interface is one network interface.
type Interface struct {
	Name      string   `json:"name"`
	MAC       string   `json:"mac,omitempty"`
	Carrier   bool     `json:"carrier"`
	DHCP      bool     `json:"dhcp"`
	Addresses []string `json:"addresses"`
	Gateway   string   `json:"gateway,omitempty"`
	Server    string   `json:"server,omitempty"` // that gave the lease
	DNS       []string `json:"dns,omitempty"`
	Line      string   `json:"line"` // all of it for people
}

// DiskUse is how full a file system is, in bytes.
type DiskUse struct {
	Path     string `json:"path"`
	Size     uint64 `json:"size"`
	Free     uint64 `json:"free"` // for users other than root
	Inode    int    `json:"inodes_percent"`
	ReadOnly bool   `json:"read_only,omitempty"` // as the kernel makes it after an error of the disk
}

// trouble says why nothing more can be written there; empty if it can.
func (d DiskUse) trouble() string {
	switch {
	case d.ReadOnly:
		return d.Path + " takes no more writes: the kernel has met errors in it (sudo shelf dmesg); a reboot checks it"
	case d.Size > 0 && d.Free < d.Size/50:
		return d.Path + " is full"
	case d.Inode >= 99:
		return d.Path + " is full: it has room, but for no more files"
	}
	return ""
}

// Written is what was written to the boot disk.
type Written struct {
	Disk   string  `json:"disk"`
	Total  uint64  `json:"total"`
	PerDay float64 `json:"per_day,omitempty"`
}

// Memory is the machine's, in bytes.
type Memory struct {
	Total     int64 `json:"total"`
	Available int64 `json:"available"`
	Init      int64 `json:"init"` // resident, of PID 1
}

// Clock is what is known about the time.
type Clock struct {
	Now    time.Time `json:"now"`
	Synced bool      `json:"synced"`
	Server string    `json:"server,omitempty"`
	Offset float64   `json:"offset,omitempty"` // seconds, found when the server was asked
	Asked  time.Time `json:"asked,omitzero"`
	Why    string    `json:"why,omitempty"` // why there is no time
}

func (n *Node) status() Status {
	host, _ := os.Hostname()
	m := n.pre.Manifest
	n.mu.Lock()
	steps := slices.Clone(n.steps)
	n.mu.Unlock()
	s := Status{
		Hostname: host, Role: n.current().RoleOf(""), Board: n.pre.Cmdline["shelf.board"], Model: n.pre.Model, Version: m.Version, Slot: n.pre.Slot,
		Program: n.Version, Kernel: m.Kernel, LastEnd: n.lastEnd(), Degraded: n.lay.Degraded, Rescue: n.lay.Rescue, Up: time.Since(started()).Seconds(),
		LockDate: time.Unix(m.Date, 0).UTC(), LockAge: int(max(0, time.Since(time.Unix(m.Date, 0)).Hours()/24)),
		Record: n.bootRecord(), Steps: steps, Machine: monitor.Read("/sys"), Problems: n.base.Report.Problems(),
		Services: []ServiceStatus{}, Network: []Interface{}, Disks: diskUse("/"),
	}
	if s.Problems == nil { // a list is one in JSON also when it is empty
		s.Problems = []report.Problem{}
	}
	for _, u := range n.units.Status() {
		s.Services = append(s.Services, serviceStatus(u))
	}
	if n.net != nil {
		for _, i := range n.net.Status() {
			s.Network = append(s.Network, networkStatus(i))
		}
	}
	s.Written = n.written()
	s.Memory = Memory{Total: meminfo("MemTotal"), Available: meminfo("MemAvailable"), Init: monitor.Resident()}
	load, _ := os.ReadFile("/proc/loadavg")
	s.Load = strings.Join(strings.Fields(string(load))[:min(3, len(strings.Fields(string(load))))], " ")
	s.Clock = Clock{Now: time.Now().UTC()}
	if n.clock != nil {
		c := n.clock.Status()
		s.Clock.Synced, s.Clock.Server, s.Clock.Offset, s.Clock.Asked, s.Clock.Why = c.Synced, c.Server, c.Offset.Seconds(), c.When.UTC(), c.Why
		if !c.Synced {
			s.Clock.Asked = time.Time{}
		}
	}
	if b, ok := n.backups(); ok {
		s.BackupFailures = &b.Fails
		if !b.Last.IsZero() {
			s.Backup = &b.Last
		}
	}
	s.DataDisk = n.diskStatus()
	s.Health, s.Why = health(s)
	return s
}

// health puts the services and the rest into one word, and says why where it is not good.
func health(s Status) (string, []string) {
	verdict := Good
	var why []string
	switch {
	case s.Rescue != "":
		verdict, why = Bad, append(why, "RESCUE: "+s.Rescue+" asks for it; data partition and services are left alone (sudo shelf data)")
	case s.Degraded:
		verdict, why = Bad, append(why, "DEGRADED: the data partition is not in use, nothing is kept (sudo shelf data)")
	}
	if d := s.DataDisk; d != nil && d.State != datadisk.Mounted {
		why = append(why, d.Detail)
		if verdict == Good && d.State == datadisk.Busy {
			verdict = Starting
		} else {
			verdict = Bad
		}
	}
	for _, d := range s.Disks {
		if t := d.trouble(); t != "" {
			verdict, why = Bad, append(why, t)
		}
	}
	if !reachable(s.Network) {
		why = append(why, "no interface has an address")
		if verdict == Good {
			verdict = Waiting
		}
	}
	for _, u := range s.Services {
		line := u.Name + ": " + u.Phase
		if u.Detail != "" {
			line = u.Name + ": " + strings.TrimPrefix(u.Detail, "waiting: ")
		}
		switch {
		case u.Bad: // what has failed is said before what waits
			verdict, why = Bad, append([]string{line}, why...)
		case u.Ready || u.Phase == string(supervise.Done) || u.Phase == string(supervise.Stopped) || u.Phase == string(supervise.Stopping):
		case strings.HasPrefix(u.Detail, "waiting: "):
			why = append(why, line)
			if verdict != Bad {
				verdict = Waiting
			}
		default:
			why = append(why, line)
			if verdict == Good {
				verdict = Starting
			}
		}
	}
	return verdict, why
}

// reachable says whether somebody else can reach the node: whether any interface has more than its link's own address.
func reachable(list []Interface) bool {
	return slices.ContainsFunc(list, func(i Interface) bool {
		return slices.ContainsFunc(i.Addresses, func(a string) bool {
			p, err := netip.ParsePrefix(a)
			return err == nil && !p.Addr().IsLinkLocalUnicast() && !p.Addr().IsLoopback()
		})
	})
}

// serviceStatus calls a unit bad that failed, and one that has failed and has not come back yet: between two attempts it
// is starting, and no better for that.
func serviceStatus(u supervise.State) ServiceStatus {
	bad := u.Phase == supervise.Failed ||
		u.Failures > 0 && !u.Ready && (u.Phase == supervise.Starting || u.Phase == supervise.Pending && !strings.HasPrefix(u.Detail, "waiting: "))
	return ServiceStatus{
		Name: u.Name, Phase: string(u.Phase), Ready: u.Ready, Detail: u.Detail, PID: u.PID, Since: asOfNow(u.Since), Starts: u.Starts,
		Restarts: max(0, u.Starts-1), Failures: u.Failures, LastExit: u.LastExit, Bad: bad,
	}
}

// asOfNow gives the moment of t, which was read from the clock of this process, as the clock counts now. The clock may have been
// set since, by years on a board without a battery, and what began then must not seem so old.
func asOfNow(t time.Time) time.Time {
	now := time.Now()
	return now.Add(-now.Sub(t)).UTC()
}

func networkStatus(i network.Status) Interface {
	out := Interface{Name: i.Name, MAC: i.MAC, Carrier: i.Carrier, DHCP: i.DHCP, Addresses: []string{}, Server: i.Server, Line: i.String()}
	for _, a := range i.Addresses {
		out.Addresses = append(out.Addresses, a.String())
	}
	if i.Gateway.IsValid() {
		out.Gateway = i.Gateway.String()
	}
	for _, a := range i.State.DNS {
		out.DNS = append(out.DNS, a.String())
	}
	return out
}

// diskUse asks how full the file systems are that can fill up: the node's own, and another disk below /var where there is one.
func diskUse(paths ...string) []DiskUse {
	mounts, _ := os.ReadFile("/proc/self/mounts")
	for l := range strings.Lines(string(mounts)) {
		f := strings.Fields(l)
		if len(f) > 2 && strings.HasPrefix(f[0], "/dev/") && (strings.HasPrefix(f[1], "/var/lib/rancher") || strings.HasPrefix(f[1], "/srv") || strings.HasPrefix(f[1], "/mnt")) &&
			!strings.Contains(f[1], "/kubelet/") && strings.Count(f[1], "/") <= 4 {
			paths = append(paths, f[1])
		}
	}
	list := []DiskUse{}
	for _, p := range paths {
		var st unix.Statfs_t
		if unix.Statfs(p, &st) != nil || st.Blocks == 0 {
			continue
		}
		d := DiskUse{Path: p, Size: st.Blocks * uint64(st.Bsize), Free: st.Bavail * uint64(st.Bsize), ReadOnly: mount.Frozen(p)}
		if st.Files > 0 {
			d.Inode = int((st.Files - st.Ffree) * 100 / st.Files)
		}
		list = append(list, d)
	}
	return list
}

// bootRecord reads the boot record; nil if there is none.
func (n *Node) bootRecord() *Record {
	if n.pre.Disk == nil {
		return nil
	}
	d, err := bootstate.OpenDisk(n.pre.Disk.Path, false)
	if err != nil {
		return nil
	}
	defer d.Close()
	r, err := bootstate.Load(d)
	if err != nil {
		return nil
	}
	return &Record{r.Active, r.Trial, r.Left, r.A, r.B}
}

// lastEnd is why the boot before this one ended: what the data partition says, for that knows of power cuts and panics,
// else what the boot record says.
func (n *Node) lastEnd() string { return lastEnd(n.how, n.pre.Cmdline["shelf.last"]) }

func lastEnd(how, record string) string {
	if how == "" {
		return record
	}
	// What the boot script did because of it, or what a step noted that failed before the data partition was there.
	for _, of := range []string{"exhausted", "did-not-load", "no-record", "not-writable", "failed"} {
		if strings.HasSuffix(record, of) {
			return how + "; the boot record says " + record
		}
	}
	if strings.HasPrefix(record, "verity") {
		return how + "; the boot record says " + record
	}
	return how
}

// meminfo gives one line of /proc/meminfo in bytes.
func meminfo(name string) int64 {
	data, _ := os.ReadFile("/proc/meminfo")
	for l := range strings.Lines(string(data)) {
		var kib int64
		if key, rest, _ := strings.Cut(l, ":"); key == name {
			_, _ = fmt.Sscan(rest, &kib)
			return kib << 10
		}
	}
	return 0
}

// started is when the kernel started.
func started() time.Time {
	data, _ := os.ReadFile("/proc/uptime")
	up, _, _ := strings.Cut(string(data), " ")
	d, _ := time.ParseDuration(up + "s")
	return time.Now().Add(-d)
}
