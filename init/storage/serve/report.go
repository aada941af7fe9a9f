package serve

import (
	"path/filepath"

	"imgbuild/init/storage/disks"
)

// Report is the answer to shelf storage.
type Report struct {
	Disks   []disks.Status `json:"disks"`
	Devices []disks.Device `json:"devices"` // every disk and partition of the machine
	Shares  []ShareReport  `json:"shares"`
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
	r := Report{Disks: s.Disks.Status(), Shares: []ShareReport{}}
	in := map[string]bool{}
	for _, d := range r.Disks {
		in[d.Name] = d.State == disks.Mounted
	}
	for _, sh := range s.plan().Shares {
		r.Shares = append(r.Shares, ShareReport{sh.Name, filepath.Join(disks.MountPoint(sh.Disk), sh.Dir), sh.Via, in[sh.Disk]})
	}
	var err error
	r.Devices, err = s.Disks.List(s.Config(), "")
	return r, err
}
