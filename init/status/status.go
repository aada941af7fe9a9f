// Package status is how a node is, as PID 1 answers and shelf status prints it.
package status

import (
	"time"

	"imgbuild/init/base/report"
	"imgbuild/init/base/swap"
	"imgbuild/init/k3s/datadisk"
	"imgbuild/init/net/mdns"
	"imgbuild/init/router/agent"
	"imgbuild/init/status/health"
	"imgbuild/init/status/monitor"
)

// Status is the state of the node. Its JSON is read by scripts and by imgbuild: fields may be
// added, none changes its meaning. Unknown values are left out.
type Status struct {
	Hostname string `json:"hostname"`
	Role     string `json:"role"`
	Board    string `json:"board"`
	Model    string `json:"model"`
	Version  string `json:"version"` // of the slot
	Slot     string `json:"slot"`
	Program  string `json:"program"`
	Kernel   string `json:"kernel"`

	Health  health.State    `json:"health"`             // the worst state of the checks
	Why     []string        `json:"why,omitempty"`      // what is bad or awaited, one line each
	Checks  []health.Result `json:"checks"`             // what the role promises
	LastEnd string          `json:"last_end,omitempty"` // why the last boot ended

	Degraded bool          `json:"degraded"`         // nothing is kept: the data partition is not in use
	Rescue   string        `json:"rescue,omitempty"` // what asked for that; empty if it is lost
	Up       float64       `json:"up"`               // seconds since the kernel started
	LockDate time.Time     `json:"lock_date"`
	LockAge  int           `json:"lock_age_days"`
	Record   *Record       `json:"record,omitempty"`
	Upgrade  *Upgrade      `json:"upgrade,omitempty"` // the newest one; absent where none is known
	Router   *agent.Status `json:"router,omitempty"`  // of a router
	Auto     *Auto         `json:"auto,omitempty"`    // of automatic upgrades; absent where they are off
	Steps    []Step        `json:"steps"`

	Services       []Service           `json:"services"`
	Network        []Interface         `json:"network"`
	MDNS           *mdns.Status        `json:"mdns,omitempty"` // absent where it is off
	Disks          []health.Disk       `json:"disks"`
	DataDisk       *datadisk.Status    `json:"data_disk,omitempty"` // that data.device names
	Written        *Written            `json:"written,omitempty"`
	Machine        monitor.Machine     `json:"machine"`
	Memory         Memory              `json:"memory"`
	Swap           []swap.Area         `json:"swap,omitempty"`
	Load           string              `json:"load"` // of 1, 5 and 15 minutes
	Clock          Clock               `json:"clock"`
	Backup         *time.Time          `json:"backup,omitempty"`          // of the newest one
	Certificate    *health.Certificate `json:"certificate,omitempty"`     // of k3s, that ends first
	BackupFailures *int                `json:"backup_failures,omitempty"` // in a row

	Problems []report.Problem `json:"problems"`
}

// Step is one step of the boot.
type Step struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
	OK      bool    `json:"ok"`
}

// Record is the boot record in words.
type Record struct {
	Active string `json:"active"`
	Trial  string `json:"trial,omitempty"`
	Left   int    `json:"left"`
	A      string `json:"a"`
	B      string `json:"b"`
}

// Upgrade is the newest upgrade.
type Upgrade struct {
	State   string    `json:"state"`  // armed, trial, committed, rolled back, withdrawn
	Bundle  string    `json:"bundle"` // sha256 of its slot's manifest.json
	Version string    `json:"version"`
	From    string    `json:"from"` // version of the system before
	Slot    string    `json:"slot"`
	Source  string    `json:"source,omitempty"` // ssh, file, stdin, http, oci, usb, auto
	Armed   time.Time `json:"armed"`
	Ended   time.Time `json:"ended,omitzero"`
	Reason  string    `json:"reason,omitempty"`
	Failed  []string  `json:"failed,omitempty"` // checks that ended its trial
	Blame   string    `json:"blame,omitempty"`  // of a rollback: open, own, external
	Before  []string  `json:"before"`           // checks that had passed before: what it is judged by, next to the floor
	Left    float64   `json:"left,omitempty"`   // seconds until the trial is given up, once the services start
	Held    bool      `json:"held,omitempty"`
	Floor   int64     `json:"floor"` // security floor of this node
}

// Auto is what was decided last about automatic upgrades.
type Auto struct {
	Do      string    `json:"do,omitempty"` // off, current, refuse, wait, upgrade
	Text    string    `json:"text"`         // in a sentence
	Version string    `json:"version,omitempty"`
	At      time.Time `json:"at,omitzero"`
	Failed  string    `json:"failed,omitempty"` // why the last attempt came to nothing before the reboot
}

// String is the decision for people.
func (a *Auto) String() string {
	if a.Failed == "" {
		return a.Text
	}
	return a.Text + "; the last attempt failed: " + a.Failed
}

// Service is one service.
type Service struct {
	Name     string    `json:"name"`
	Phase    string    `json:"phase"`
	Ready    bool      `json:"ready"`
	Outside  bool      `json:"outside"` // it waits for something from outside: a setting, a server
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
	Gateway   string   `json:"gateway,omitempty"`  // IPv4's, or IPv6's where there is none
	Gateway6  string   `json:"gateway6,omitempty"` // also one that a router advertised
	Server    string   `json:"server,omitempty"`   // that gave the lease
	DNS       []string `json:"dns,omitempty"`
	Line      string   `json:"line"` // all of it for people
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
	Level  int       `json:"stratum,omitempty"` // of the server
	Error  float64   `json:"error,omitempty"`   // seconds: how far the clock may have been off then
	Why    string    `json:"why,omitempty"`     // why there is no time
}
