package serve

import (
	"maps"
	"path/filepath"
	"slices"

	"imgbuild/init/status/monitor"
	"imgbuild/init/storage/care"
	"imgbuild/init/storage/disks"
	"imgbuild/init/storage/nfs"
)

// Report is the answer to shelf storage.
type Report struct {
	Disks   []DiskReport   `json:"disks"`
	Devices []disks.Device `json:"devices"` // every disk and partition of the machine
	Shares  []ShareReport  `json:"shares"`
	Note    string         `json:"note,omitempty"`    // what came of an order
	Awaited []nfs.Peer     `json:"awaited,omitempty"` // NFS clients that may take back their locks before others are served
}

// DiskReport is one entry of storage.disks.
type DiskReport struct {
	disks.Status
	Care care.State `json:"care"`
}

// ShareReport is one share.
type ShareReport struct {
	Name   string   `json:"name"`
	Path   string   `json:"path"`
	Via    []string `json:"via"`
	Served bool     `json:"served"` // its disk is in use
}

// Report returns how the storage is.
func (s *Server) Report() (Report, error) {
	r := Report{Disks: []DiskReport{}, Shares: []ShareReport{}, Awaited: s.Awaited()}
	in := map[string]bool{}
	for _, d := range s.Disks.Status() {
		in[d.Name] = d.State == disks.Mounted
		r.Disks = append(r.Disks, DiskReport{d, s.Care.State(d.Name)})
	}
	for _, sh := range s.plan().Shares {
		r.Shares = append(r.Shares, ShareReport{sh.Name, filepath.Join(disks.MountPoint(sh.Disk), sh.Dir), sh.Via, in[sh.Disk]})
	}
	var err error
	r.Devices, err = s.Disks.List(s.Config(), "")
	return r, err
}

// Sample is the storage in numbers. It asks no disk.
func (s *Server) Sample() (list []monitor.StorageDisk, shares []monitor.StorageShare) {
	for _, d := range s.Disks.Status() {
		if d.State == disks.Mounted {
			list = append(list, sampleOf(d.Name, s.Care.State(d.Name)))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(s.good)) {
		shares = append(shares, monitor.StorageShare{Share: name, Good: s.good[name]})
	}
	return list, shares
}

func sampleOf(name string, c care.State) monitor.StorageDisk {
	out := monitor.StorageDisk{Name: name, Size: c.Space.Size, Free: c.Space.Free, Scrubbed: c.Scrubbed, Lost: c.Scrub.Uncorrectable}
	for _, e := range c.Errors {
		for _, kind := range []struct {
			name  string
			count uint64
		}{{"write", e.Write}, {"read", e.Read}, {"flush", e.Flush}, {"corruption", e.Corruption}, {"generation", e.Generation}} {
			out.Errors = append(out.Errors, monitor.DeviceError{Device: e.Device, Kind: kind.name, Count: kind.count})
		}
	}
	for _, d := range c.Smart {
		if d.Known {
			out.Smart = append(out.Smart, monitor.DiskSmart{Device: filepath.Base(d.Device), Passed: d.Passed, Warnings: len(d.Warnings), Celsius: d.Celsius})
		}
	}
	return out
}
