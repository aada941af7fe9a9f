package node

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"

	"imgbuild/init/base/report"
	"imgbuild/init/boot/bootpart"
	"imgbuild/init/boot/configtrial"
	"imgbuild/init/boot/crash"
	"imgbuild/init/boot/damage"
	"imgbuild/init/boot/decide"
	"imgbuild/init/boot/order"
	"imgbuild/init/boot/record"
	"imgbuild/init/boot/role"
	"imgbuild/init/boot/upgrades"
	"imgbuild/init/contract/bootstate"
	"imgbuild/init/contract/config"
	"imgbuild/init/disk"
	"imgbuild/init/k3s"
	"imgbuild/init/k3s/datadisk"
	"imgbuild/init/net/mdns"
	"imgbuild/init/router/service"
	"imgbuild/init/settings/sources"
	"imgbuild/init/start/preinit"
	"imgbuild/init/status"
	"imgbuild/init/status/health"
	"imgbuild/init/supervise"
)

// Shared is what any goroutine may use at any time, also one that fails: every field is safe by its
// type. Pointers are nil until the step that finds what they point to, which is not changed
// afterwards.
type Shared struct {
	Base   report.Reporter
	LED    atomic.Pointer[report.LED]
	Orders order.Queue
	Record record.Record // of the boot disk, once it is known
	Crash  crash.File
	Probes health.Prober
	Steps  Steps

	Upgrades upgrades.Keeper

	Found     atomic.Pointer[preinit.State]
	Newest    atomic.Pointer[config.Config] // the newest one
	Refused   atomic.Pointer[[]string]      // keys of it that are refused, sorted
	Units     atomic.Pointer[supervise.Supervisor]
	Disk      atomic.Pointer[datadisk.Disk]  // nil for roles without k3s
	Datastore atomic.Pointer[role.Datastore] // nil for all but servers
	Storage   atomic.Pointer[role.Storage]   // nil for other roles than storage
	Router    atomic.Pointer[service.Router] // nil for other roles than router
	Upkeep    atomic.Pointer[k3s.Upkeep]     // likewise
	Trial     configtrial.Trial
	Damage    damage.Book
	damaged   atomic.Pointer[string] // the block of /usr that was found damaged

	Up        atomic.Bool // run takes orders
	panicking atomic.Bool
	leaving   atomic.Bool // the slot was given up for the other one: nothing commits it any more
	rotten    sync.Once
	Frozen    sync.Once
}

// Steps are those of a boot.
type Steps struct {
	mu   sync.Mutex
	list []status.Step
}

// Add notes a step that is over.
func (s *Steps) Add(one status.Step) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, one)
}

// All returns the steps so far.
func (s *Steps) All() []status.Step {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]status.Step{}, s.list...)
}

// Pre is what preinit has found; empty as long as it has found nothing.
func (s *Shared) Pre() *preinit.State {
	if p := s.Found.Load(); p != nil {
		return p
	}
	return &preinit.State{}
}

// Config is the newest configuration.
func (s *Shared) Config() *config.Config { return s.Newest.Load() }

// Offers are the services of the role that others find by mDNS.
func (s *Shared) Offers() []mdns.Service {
	if r := s.Storage.Load(); r != nil {
		return r.Server.Services()
	}
	return nil
}

// Reload has run read the configuration again.
func (s *Shared) Reload(why string) { s.Orders.Give(order.Order{Verb: order.Reload, Reason: why}) }

// OnTrial reports whether the running slot is under trial.
func (s *Shared) OnTrial() bool { return s.Pre().Cmdline["shelf.trial"] == "1" }

// Cornered: the boot script would only come back here.
func (s *Shared) Cornered() bool {
	p := s.Pre()
	c := decide.Corner{Disk: p.Disk != nil, Trial: s.OnTrial(), Last: p.Cmdline["shelf.left"] == "0"}
	if r, err := s.Record.Read(); err == nil {
		c.Other = r.State(bootstate.Other(p.Slot))
	}
	return c.Cornered()
}

// Note notes in the boot record why this boot ends, for the next one and for people.
func (s *Shared) Note(o order.Order) {
	s.Write(decide.Ending{Trial: s.OnTrial(), Fault: o.Fault}.Note(), o.Reason)
}

// Write writes a note into the boot record.
func (s *Shared) Write(note decide.Note, reason string) {
	if err := s.Record.Note(note, reason); err != nil && !errors.Is(err, record.ErrNoDisk) {
		s.Base.Say("%v", err)
	}
}

// reportName is the file on BOOT that every laptop can read.
const reportName = "report.txt"

// SaveReport writes the report in place.
func (s *Shared) SaveReport() {
	d := s.Pre().Disk
	if d == nil {
		return
	}
	text := s.Base.Report.Text()
	_ = os.WriteFile("/run/shelf/report.txt", text, 0o644)
	if err := bootpart.Overwrite(d.Partition(disk.Boot), sources.Boot, reportName, text, '\n'); err != nil {
		s.Base.Say("%s on the boot partition was not written: %v", reportName, err)
	}
}
