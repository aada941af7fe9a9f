package boot

import (
	"os"
	"slices"
	"strings"
	"time"

	"imgbuild/init/report"
)

// Status is how the node is, as shelf status prints it.
type Status struct {
	Hostname string           `json:"hostname"`
	Role     string           `json:"role"`
	Version  string           `json:"version"` // of the slot
	Slot     string           `json:"slot"`
	Program  string           `json:"program"`
	Model    string           `json:"model"`
	Degraded bool             `json:"degraded"` // nothing is kept: the data partition is lost
	Up       float64          `json:"up"`       // seconds since the kernel started
	Steps    []stepTime       `json:"steps"`
	Services []ServiceStatus  `json:"services"`
	Network  []string         `json:"network"`
	Problems []report.Problem `json:"problems"`
}

// ServiceStatus is one service.
type ServiceStatus struct {
	Name   string `json:"name"`
	Phase  string `json:"phase"`
	Ready  bool   `json:"ready"`
	Detail string `json:"detail,omitempty"`
	Starts int    `json:"starts"`
}

func (n *Node) status() Status {
	host, _ := os.Hostname()
	n.mu.Lock()
	steps := slices.Clone(n.steps)
	n.mu.Unlock()
	s := Status{
		Hostname: host, Role: n.current().RoleOf(""), Slot: n.pre.Slot, Program: n.Version, Model: n.pre.Model,
		Version: n.pre.Manifest.Version, Degraded: n.lay.Degraded, Steps: steps, Problems: n.base.Report.Problems(),
		Up: time.Since(started()).Seconds(),
	}
	for _, u := range n.units.Status() {
		s.Services = append(s.Services, ServiceStatus{u.Name, string(u.Phase), u.Ready, u.Detail, u.Starts})
	}
	if n.net != nil {
		for _, i := range n.net.Status() {
			s.Network = append(s.Network, i.String())
		}
	}
	return s
}

// started is when the kernel started.
func started() time.Time {
	data, _ := os.ReadFile("/proc/uptime")
	up, _, _ := strings.Cut(string(data), " ")
	d, _ := time.ParseDuration(up + "s")
	return time.Now().Add(-d)
}
