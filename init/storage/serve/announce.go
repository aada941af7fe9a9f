package serve

import (
	"path/filepath"
	"slices"
	"strconv"

	"imgbuild/init/net/mdns"
	"imgbuild/init/storage/disks"
	"imgbuild/init/storage/shares"
)

// Services returns what is announced by mDNS: the shares whose disks are in use.
func (s *Server) Services() []mdns.Service {
	served := map[string]bool{}
	for _, d := range s.Disks.Status() {
		served[d.Name] = d.State == disks.Mounted
	}
	p := s.plan()
	p.Shares = slices.DeleteFunc(slices.Clone(p.Shares), func(sh shares.Share) bool { return !served[sh.Disk] })
	return announced(p)
}

// announced puts a plan into services: SMB once for all shares, NFS for each share with its path,
// and the shares that Time Machine may use.
func announced(p shares.Plan) []mdns.Service {
	var list []mdns.Service
	if p.Any("smb") {
		list = append(list, mdns.Service{Type: "_smb._tcp", Port: 445})
	}
	var machines []string
	for _, sh := range p.Shares {
		if sh.By("smb") && sh.TimeMachine {
			// 0x82: a Time Machine disk by SMB; 0x100: the other shares are listed too.
			machines = append(machines, "dk"+strconv.Itoa(len(machines))+"=adVN="+sh.Name+",adVF=0x82")
		}
		if sh.By("nfs") {
			list = append(list, mdns.Service{
				Type: "_nfs._tcp", Name: sh.Name, Port: 2049, Text: []string{"path=" + filepath.Join(disks.MountPoint(sh.Disk), sh.Dir)},
			})
		}
	}
	if len(machines) > 0 {
		list = append(list, mdns.Service{Type: "_adisk._tcp", Port: 9, Text: append([]string{"sys=waMa=0,adVF=0x100"}, machines...)})
	}
	return list
}
