package serve

import (
	"path/filepath"

	"imgbuild/init/storage/care"
	"imgbuild/init/storage/disks"
)

// Report is the answer to shelf storage.
type Report struct {
	Disks   []DiskReport   `json:"disks"`
	Devices []disks.Device `json:"devices"` // every disk and partition of the machine
	Shares  []ShareReport  `json:"shares"`
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
	r := Report{Disks: []DiskReport{}, Shares: []ShareReport{}}
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
