// Package monitor is what a node reports about itself in numbers: the metrics shelf_* that
// node-exporter serves from a text file, and the readings of the machine (temperature, throttling,
// wear, bytes written) that shelf status shows as well.
//
// A reading that the kernel cannot give is absent, never zero: a Pi whose kernel has no sensor for
// under-voltage must not look like one with a good power supply.
package monitor

import (
	"time"

	"imgbuild/init/status/health"
)

// Sample is everything that is reported at one moment. Pointers and lists that are nil are left
// out.
type Sample struct {
	// What runs.
	Version, Slot, Program, Role, Board, Model, Kernel string
	Built                                              time.Time // date of the image's lock
	Booted                                             time.Time
	Steps                                              []Step

	// The boot record.
	Left  *int // attempts that are left for the running slot
	Trial bool
	Last  string // why the last boot ended; empty if nobody knows

	Upgrade Upgrade // the newest one; zero for none known

	// How it is.
	Degraded       bool
	Problems       int // reported since boot
	ConfigProblems int // of those, what is wrong in the configuration
	Services       []Service
	Checks         []health.Result

	// Time.
	Synced      bool
	ClockOffset time.Duration // found when a server was asked last; meaningless unless Synced
	ClockError  time.Duration
	ClockAsked  time.Time

	Machine Machine
	Written *Tally    // of the boot disk
	Disk    string    // its name, as in /sys/block
	Backup  time.Time // of the newest backup; zero for none known
	Fails   *int      // attempts to make a backup that failed, in a row; nil where none are made
	InitRSS int64     // bytes

	Router *Router // nil for other roles

	Storage   []StorageDisk  // in use
	Snapshots []StorageShare // with rules for snapshots
	Backups   []StorageBackup

	Certificate time.Time // when the first certificate of k3s ends; zero for none known
}

// Router is how a router is.
type Router struct {
	Uplink bool // it works
	Boards int  // known on the shelf
}

// Upgrade is the newest upgrade.
type Upgrade struct {
	Version, From, State, Blame string
	Ended                       time.Time // zero: it has not
	Floor                       int64
}

// Step is one step of the boot.
type Step struct {
	Name    string
	Seconds float64
}

// Service is one supervised unit.
type Service struct {
	Name     string
	Phase    string
	Ready    bool
	Starts   int
	Failures int
	Memory   *int64   // bytes
	CPU      *float64 // seconds
}

// StorageDisk is one disk of a storage node.
type StorageDisk struct {
	Name       string
	Size, Free uint64 // bytes, by the file system's own count; 0 for unknown
	Scrubbed   time.Time
	Lost       int           // blocks that the last scrub could not repair
	Errors     []DeviceError // by device and kind
	Smart      []DiskSmart
}

// DeviceError counts one kind of error of a device.
type DeviceError struct {
	Device, Kind string
	Count        uint64
}

// DiskSmart is what a disk reports about itself.
type DiskSmart struct {
	Device   string
	Passed   bool
	Warnings int
	Celsius  int // 0 for unknown
}

// StorageShare is a share with snapshots: Good is the last time at which they held all of it but
// what was written since.
type StorageShare struct {
	Share string
	Good  time.Time
}

// StorageBackup is a place that shares are backed up to: Good is when all of them were last there
// as they were then.
type StorageBackup struct {
	Place string
	Good  time.Time
}
