package health

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"imgbuild/init/contract/checks"
	"imgbuild/init/k3s/datadisk"
	"imgbuild/init/storage/care"
	"imgbuild/init/storage/disks"
	"imgbuild/init/supervise"
)

var worker = []string{checks.Usr, checks.Data, checks.Writable, checks.Space, checks.Address, checks.SSHD, checks.DataDisk, checks.K3s, checks.Kubelet, checks.Certificates, checks.StorageDisks, checks.StorageCare, checks.NFSLocks, checks.Services, "from-a-later-version"}

func up(name string) supervise.State {
	return supervise.State{Name: name, Phase: supervise.Up, Ready: true, Starts: 1}
}

func addresses(list ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, a := range list {
		all = append(all, netip.MustParsePrefix(a))
	}
	return all
}

func well() Facts {
	return Facts{
		Disks: []Disk{{Path: "/", Size: 1000, Free: 500, Inode: 3}}, Addresses: addresses("127.0.0.1/8", "fe80::1/64", "10.0.0.2/24"),
		Units: []supervise.State{up("sshd"), up("k3s"), {Name: "once", Phase: supervise.Done, Optional: true}, {Name: "off", Phase: supervise.Stopped, Failures: 3, Optional: true}},
	}
}

func (f *Facts) set(u supervise.State) {
	for i := range f.Units {
		if f.Units[i].Name == u.Name {
			f.Units[i] = u
			return
		}
	}
	f.Units = append(f.Units, u)
}

// The verdict is as bad as the worst of its checks, and has its reason.
func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name, check string
		want        State
		why         string
		with        func(*Facts)
	}{
		{"well", "", Good, "", func(*Facts) {}},
		{"damaged", checks.Usr, Bad, "/usr is damaged (block 7)", func(f *Facts) { f.Damaged = "7" }},
		{"disk full", checks.Space, Bad, "/ is full", func(f *Facts) { f.Disks[0].Free = 19 }},
		{"disk nearly full", "", Good, "", func(f *Facts) { f.Disks[0].Free = 21 }},
		{"not for more files", checks.Space, Bad, "/ is full: there is space", func(f *Facts) { f.Disks[0].Inode = 100 }},
		{"read-only", checks.Writable, Bad, "/ takes no more writes", func(f *Facts) { f.Disks[0].ReadOnly, f.Disks[0].Free = true, 0 }},
		{"no address", checks.Address, Waiting, "no interface has an address", func(f *Facts) { f.Addresses = nil }},
		{"an address of the link alone", checks.Address, Waiting, "no interface", func(f *Facts) { f.Addresses = addresses("fe80::1/64", "169.254.1.1/16", "::1/128") }},
		{"only IPv6", "", Good, "", func(f *Facts) { f.Addresses = addresses("fd00::1/64") }},
		{"degraded", checks.Data, Bad, "DEGRADED", func(f *Facts) { f.Degraded = true }},
		{"rescue", checks.Data, Bad, "RESCUE: the kernel", func(f *Facts) { f.Degraded, f.Rescue, f.Units = true, "the kernel's command line", f.Units[:1] }},
		{"data disk away", checks.DataDisk, Bad, "it is away", func(f *Facts) { f.DataDisk = &datadisk.Status{State: datadisk.Absent, Detail: "it is away"} }},
		{"data disk is checked", checks.DataDisk, Starting, "it is checked", func(f *Facts) { f.DataDisk = &datadisk.Status{State: datadisk.Busy, Detail: "it is checked"} }},
		{"data disk in use", "", Good, "", func(f *Facts) { f.DataDisk = &datadisk.Status{State: datadisk.Mounted} }},
		{"a storage disk in use", "", Good, "", func(f *Facts) { f.Storage = []disks.Status{{Name: "a", State: disks.Mounted}} }},
		{"a storage disk away", checks.StorageDisks, Bad, "disk b: it is away", func(f *Facts) {
			f.Storage = []disks.Status{{Name: "a", State: disks.Mounted}, {Name: "b", State: disks.Missing, Detail: "it is away"}}
		}},
		{"a storage disk takes no writes", checks.StorageDisks, Bad, "disk a: it failed", func(f *Facts) {
			f.Storage = []disks.Status{{Name: "a", State: disks.Mounted, ReadOnly: true, Detail: "it failed"}}
		}},
		{"a storage disk is not redundant", checks.StorageDisks, Waiting, "disk a: one of its disks is missing", func(f *Facts) {
			f.Storage = []disks.Status{{Name: "a", State: disks.Mounted, Degraded: true, Detail: "one of its disks is missing"}}
		}},
		{"a storage disk has errors", checks.StorageCare, Waiting, "disk a: errors", func(f *Facts) {
			f.Care = []care.Trouble{{Text: "disk a: errors"}}
		}},
		{"a client of NFS is away", checks.NFSLocks, Starting, "the NFS server waits for clients to take back their locks: laptop (10.0.0.5)", func(f *Facts) {
			f.Awaited = []string{"laptop (10.0.0.5)"}
		}},
		{"a storage disk has lost data", checks.StorageCare, Bad, "disk a: lost", func(f *Facts) {
			f.Care = []care.Trouble{{Text: "disk a: lost", Bad: true}}
		}},
		{"a storage disk is checked", checks.StorageDisks, Starting, "disk a: it is checked", func(f *Facts) {
			f.Storage = []disks.Status{{Name: "a", State: disks.Busy, Detail: "it is checked"}}
		}},
		{"a certificate for long", "", Good, "", func(f *Facts) { f.Certificate = &Certificate{Name: "a.crt", Left: certificateWarning} }},
		{"a certificate ends", checks.Certificates, Waiting, "the certificate a.crt of k3s ends on 2027-12-01", func(f *Facts) {
			f.Certificate = &Certificate{"a.crt", time.Date(2027, 12, 1, 0, 0, 0, 0, time.UTC), certificateWarning - 1}
		}},
		{"a certificate has ended", checks.Certificates, Bad, "the certificate a.crt of k3s has ended on 2027-12-01", func(f *Facts) {
			f.Certificate = &Certificate{"a.crt", time.Date(2027, 12, 1, 0, 0, 0, 0, time.UTC), -1}
		}},
		{"sshd failed", checks.SSHD, Bad, "sshd: exit status 255", func(f *Facts) {
			f.set(supervise.State{Name: "sshd", Phase: supervise.Failed, Detail: "exit status 255"})
		}},
		{"between two attempts", checks.K3s, Bad, "k3s: starting", func(f *Facts) { f.set(supervise.State{Name: "k3s", Phase: supervise.Starting, Failures: 1}) }},
		{"starts", checks.K3s, Starting, "k3s: for the right time", func(f *Facts) {
			f.set(supervise.State{Name: "k3s", Phase: supervise.Pending, Wait: supervise.Inside, Detail: "for the right time"})
		}},
		{"waits", checks.K3s, Waiting, "k3s: a token", func(f *Facts) {
			f.set(supervise.State{Name: "k3s", Phase: supervise.Pending, Wait: supervise.Outside, Detail: "a token"})
		}},
		{"failed once and waits", checks.K3s, Waiting, "k3s: a token", func(f *Facts) {
			f.set(supervise.State{Name: "k3s", Phase: supervise.Pending, Wait: supervise.Outside, Detail: "a token", Failures: 1})
		}},
		{"stopped by somebody", checks.K3s, Waiting, "k3s: stopped", func(f *Facts) { f.set(supervise.State{Name: "k3s", Phase: supervise.Stopped}) }},
		{"still to come", checks.K3s, Starting, "k3s: not started yet", func(f *Facts) { f.Units, f.Booting = f.Units[:1], true }},
		{"never came", checks.K3s, Bad, "k3s: not set up", func(f *Facts) { f.Units = f.Units[:1] }},
		{"an image without", "", Good, "", func(f *Facts) { f.Units, f.Without = f.Units[:1], []string{"k3s"} }},
		{"late answers", "", Good, "", func(f *Facts) { f.Answers = map[string]Answer{checks.Kubelet: {tolerated, errors.New("late")}} }},
		{"no answer", checks.Kubelet, Bad, "k3s: the kubelet answers 500", func(f *Facts) {
			f.Answers = map[string]Answer{checks.Kubelet: {tolerated + 1, errors.New("the kubelet answers 500")}}
		}},
		{"another service", checks.Services, Bad, "x: exit status 1", func(f *Facts) {
			f.set(supervise.State{Name: "x", Phase: supervise.Failed, Detail: "exit status 1", Optional: true})
			f.set(supervise.State{Name: "y", Phase: supervise.Pending, Wait: supervise.Outside, Detail: "a radio", Optional: true})
		}},
		{"what failed comes first", checks.Services, Bad, "x: exit status 1; no interface has an address", func(f *Facts) {
			f.Addresses = nil
			f.set(supervise.State{Name: "x", Phase: supervise.Failed, Detail: "exit status 1", Optional: true})
		}},
	} {
		f := well()
		c.with(&f)
		v := Judge(worker, f)
		if v.State != c.want || !strings.HasPrefix(strings.Join(v.Why, "; "), c.why) || (c.why == "") != (len(v.Why) == 0) {
			t.Errorf("%s: got %s %q, want %s %q", c.name, v.State, v.Why, c.want, c.why)
		}
		if r, ok := v.Of(c.check); c.check != "" && (!ok || r.State != c.want) {
			t.Errorf("%s: the check %s is %+v", c.name, c.check, r)
		}
	}
	if _, ok := Judge(worker, well()).Of("from-a-later-version"); ok {
		t.Error("a check that nobody knows has a result")
	}
	if got, want := Judge([]string{checks.SSHD, checks.Address}, Facts{Units: []supervise.State{up("sshd")}}).Passed(), []string{checks.SSHD}; !reflect.DeepEqual(got, want) {
		t.Errorf("passed: got %q, want %q", got, want)
	}
}

// Whatever the services do: the node is not good while one of them is not, no reason is missing or
// reported twice, and a service that was stopped by somebody is nobody's fault.
func TestJudgeServices(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	phases := []supervise.Phase{supervise.Stopped, supervise.Pending, supervise.Starting, supervise.Up, supervise.Stopping, supervise.Failed, supervise.Done}
	for range 5000 {
		f := well()
		f.Units = nil
		for _, name := range []string{"sshd", "k3s", "a", "b"} {
			u := supervise.State{Name: name, Phase: phases[r.IntN(len(phases))], Failures: r.IntN(2), Detail: name + "'s words"}
			u.Ready = u.Phase == supervise.Up
			if u.Phase == supervise.Pending {
				u.Wait = supervise.Wait(1 + r.IntN(2))
			}
			f.Units = append(f.Units, u)
		}
		v := Judge(worker, f)
		text, worst := strings.Join(v.Why, "\n"), Good
		for _, u := range f.Units {
			s := state(u)
			if u.Optional = u.Name == "a" || u.Name == "b"; u.Optional && s == Waiting && !u.Outside() {
				s = Good
			}
			if s.rank() > worst.rank() {
				worst = s
			}
			want := 1
			if s == Good {
				want = 0
			}
			if got := strings.Count(text, line(u)); got != want {
				t.Fatalf("%q is reported %d times, want %d:\n%s\n%+v", line(u), got, want, text, f.Units)
			}
		}
		if v.State != worst {
			t.Fatalf("got %s, want %s: %+v", v.State, worst, f.Units)
		}
	}
}

func TestProber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p Prober
		ok, broken := true, errors.New("the API server answers 500")
		p.Add(Probe{checks.API, func(context.Context) error {
			if ok {
				return nil
			}
			return broken
		}}, Probe{checks.Kubelet, func(context.Context) error { time.Sleep(time.Hour); return nil }})
		ready := true
		round := func() map[string]Answer {
			p.Round(t.Context(), func(unit string) bool { return ready && unit == "k3s" })
			return p.Answers()
		}
		if got := round(); len(got) != 1 || got[checks.Kubelet].Failures != 1 || !strings.Contains(got[checks.Kubelet].Err.Error(), "no answer within 20s") {
			t.Errorf("one hangs: %+v", got)
		}
		ok = false
		round()
		if got := round(); got[checks.API] != (Answer{2, broken}) || got[checks.Kubelet].Failures != 3 {
			t.Errorf("both fail: %+v", got)
		}
		ok = true
		if got := round(); got[checks.API].Failures != 0 {
			t.Errorf("it answers again: %+v", got)
		}
		ready = false
		if got := round(); len(got) != 0 {
			t.Errorf("k3s does not run: %+v", got)
		}
		time.Sleep(2 * time.Hour) // those that hang come to their end
	})
}
