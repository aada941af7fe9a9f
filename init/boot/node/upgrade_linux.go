package node

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"imgbuild/init/boot/decide"
	"imgbuild/init/boot/order"
	"imgbuild/init/boot/upgrades"
	"imgbuild/init/contract/bootstate"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/k3sstep"
	"imgbuild/init/disk"
	"imgbuild/init/k3s"
	"imgbuild/init/k3s/backup"
	"imgbuild/init/status"
	"imgbuild/init/status/control"
	"imgbuild/init/status/health"
	"imgbuild/init/upgrade/install"
	"imgbuild/init/upgrade/ledger"
)

// upgrading serves the orders about upgrades.
func (v *View) upgrading(r control.Request) (any, error) {
	switch r.Verb {
	case upgrades.Facts:
		return v.upgradeFacts(), nil
	case upgrades.Forget:
		if err := v.Upgrades.Forget(r.Args["slot"]); err != nil {
			return nil, err
		}
		v.Base.Problem(v.Damage.Forget(r.Args["slot"]))
		return nil, nil
	case upgrades.Arm:
		var a ledger.Attempt
		if err := json.Unmarshal([]byte(r.Args["attempt"]), &a); err != nil {
			return nil, fault.New(fault.Usage, "", "this is not an attempt: %v", err)
		}
		if a.Restore != nil && v.Datastore.Load() == nil {
			return nil, fault.New(fault.Usage, "", "a backup is restored on a server, and this node is none")
		}
		if err := v.Upgrades.Arm(a, v.judge(), v.refused(), time.Now()); err != nil {
			return nil, err
		}
		v.Base.Say("upgrade: the next boot tries %s in slot %s", a.Version, a.Slot)
		return nil, nil
	case upgrades.Commit:
		return nil, v.Upgrades.Order()
	case upgrades.Hold:
		seconds, err := strconv.Atoi(r.Args["seconds"])
		if err != nil {
			return nil, fault.New(fault.Usage, "", "%q is not a number of seconds", r.Args["seconds"])
		}
		return nil, v.Upgrades.Hold(time.Duration(seconds)*time.Second, time.Now())
	}
	return v.goBack()
}

// upgradeFacts is what an upgrade has to know of this node.
func (v *View) upgradeFacts() install.Facts {
	p := v.Pre()
	f := install.Facts{
		Hostname: v.Host, Family: p.Manifest.Family, Arch: p.Manifest.Arch, Role: v.Config().RoleOf(""), Version: p.Manifest.Version, Slot: p.Slot,
		Trial: v.Upgrades.Trialing(), Degraded: v.Layout.Degraded, Booting: !v.Up.Load(), Synced: v.Clock.Status().Synced, Ledger: v.Upgrades.Ledger(),
		Deadline: int64(v.deadline() / time.Second), Board: p.Cmdline["shelf.board"],
	}
	if p.Manifest.K3s != nil {
		f.K3s = p.Manifest.K3s.Version
	}
	if p.Disk != nil {
		number := map[string]int{bootstate.A: disk.SlotA, bootstate.B: disk.SlotB}
		f.Running, f.Target = p.Disk.Partition(number[p.Slot]), p.Disk.Partition(number[bootstate.Other(p.Slot)])
		f.Disk = p.Disk.Path
	}
	if r, err := v.Record.Read(); err == nil {
		f.Armed = r.Trial != "" && r.Trial != p.Slot
	}
	return f
}

// goBack returns the node to the system before.
func (v *View) goBack() (any, error) {
	p := v.Pre()
	r, err := v.Record.Read()
	if err != nil {
		return nil, fault.Wrap(err, fault.Device, "", "the boot record")
	}
	other := bootstate.Other(p.Slot)
	switch decide.GoBack(p.Slot, v.Upgrades.Trialing(), r) {
	case decide.GiveBack:
		b := upgrades.Back{What: "withdrawn", Slot: p.Slot}
		if a := v.Upgrades.Armed(); a != nil {
			b.Version = a.Version
		}
		return b, v.Upgrades.Withdraw("by hand")
	case decide.EndTrial:
		v.Base.Problem(v.Upgrades.GaveUp("by hand", v.clean(v.judge()), nil))
		v.Orders.Give(order.Order{Verb: order.Reboot, Reason: "rollback", Fault: true})
		return upgrades.Back{What: "trial", Version: p.Manifest.Version, Slot: other, Reboot: true}, nil
	case decide.Switch:
		if err := v.Upgrades.Select(other); err != nil {
			return nil, err
		}
		v.Base.Problem(v.Upgrades.Unwound(p.Manifest.Version))
		v.Orders.Give(order.Order{Verb: order.Reboot, Reason: "rollback"})
		return upgrades.Back{What: "switched", Version: p.Manifest.Version, Slot: other, Reboot: true}, nil
	}
	if a := crossing(v.Upgrades.Ledger()); a != nil && v.Config().RoleOf("") == k3s.Server {
		s, _ := backup.Load(backup.Dir)
		return nil, crossed(a, s)
	}
	return nil, fault.New(fault.Usage, "", "slot %s holds no system to go back to: in the boot record it is %s", other, r.State(other))
}

// committed notes the commit of the running slot.
func (v *View) committed(verdict health.Verdict) {
	was := v.Upgrades.Trial()
	v.Base.Problem(v.Upgrades.Committed(v.clean(verdict)))
	if was != nil {
		v.Base.Say("upgrade: %s is committed", was.Version)
		v.Base.Report.Fact("trial", "this system was on trial and is committed")
		v.Base.Report.Fact("upgrade", v.UpgradeText())
	}
}

// clean takes secrets out of a verdict that is kept.
func (v *View) clean(verdict health.Verdict) health.Verdict {
	results := slices.Clone(verdict.Results)
	for i := range results {
		results[i].Why = slices.Clone(results[i].Why)
		for j, why := range results[i].Why {
			results[i].Why[j] = v.Base.Report.Clean(why)
		}
	}
	verdict.Results = results
	return verdict
}

// checkEvery is how often the checks that pass are noted, for the upgrade that may come.
const checkEvery = 30 * time.Second

// WatchChecks notes from time to time which checks pass, and settles whether a rollback was for
// something from outside. It never returns.
func (v *View) WatchChecks() {
	began, settled := time.Now(), false
	for range time.Tick(time.Second) {
		now := time.Now()
		if !settled {
			done, err := v.Upgrades.Blame(v.judge(), now.Sub(began) > v.fair())
			v.Base.Problem(err)
			if settled = done; done && v.UpgradeText() != "" {
				v.Base.Report.Fact("upgrade", v.UpgradeText())
				v.SaveReport()
			}
		}
		if now.Unix()%int64(checkEvery/time.Second) == 0 {
			v.Upgrades.Sample(v.judge(), now)
		}
	}
}

// deadline is how long a trial has to pass its checks, after the start of the services.
func (v *View) deadline() time.Duration {
	return time.Duration(cmp.Or(int64(v.Config().Upgrade.Deadline), v.health().Deadline)) * time.Second
}

// fair is how long this system has to pass the checks that a trial failed, before the failure
// counts as one from outside: a short deadline of the configuration must not blame the network.
func (v *View) fair() time.Duration {
	return max(v.deadline(), time.Duration(v.health().Deadline)*time.Second)
}

// refused are the keys of the configuration that are refused.
func (s *Shared) refused() []string {
	if list := s.Refused.Load(); list != nil {
		return *list
	}
	return nil
}

// newlyRefused are those that the system before took, while this one is under trial.
func (s *Shared) newlyRefused() []string {
	a := s.Upgrades.Trial()
	if a == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(s.refused()), func(key string) bool { return slices.Contains(a.Refused, key) })
}

// UpgradeText is the newest upgrade in one line; empty where none is known.
func (s *Shared) UpgradeText() string {
	l := s.Upgrades.Ledger()
	a := l.Last()
	if a == nil {
		return ""
	}
	text := fmt.Sprintf("%s, from %s: %s", a.Version, a.From, s.stage(a))
	if a.Reason != "" && a.Result != ledger.Committed {
		text += ", " + a.Reason
	}
	var why []string
	for _, r := range a.Judged {
		if slices.Contains(a.Failed, r.Check) {
			why = append(why, r.Why...)
		}
	}
	if len(why) > 0 {
		text += " (" + strings.Join(why, "; ") + ")"
	}
	switch a.Blame {
	case ledger.External:
		text += "; the system before fails that too: it may be tried once more"
	case ledger.Open:
		text += "; whether the system before fails that too is not known yet"
	}
	return text
}

// stage is the state of an attempt in one word.
func (s *Shared) stage(a *ledger.Attempt) string {
	switch {
	case a.Result != "":
		return string(a.Result)
	case a.Slot == s.Pre().Slot:
		return "trial"
	}
	return "armed"
}

// upgrade is the newest upgrade's part of the status.
func (v *View) upgrade() *status.Upgrade {
	l := v.Upgrades.Ledger()
	a := l.Last()
	if a == nil {
		return nil
	}
	u := &status.Upgrade{
		State: v.stage(a), Bundle: a.Bundle, Version: a.Version, From: a.From, Slot: a.Slot, Source: a.Source, Armed: a.Armed, Ended: a.Ended,
		Reason: a.Reason, Failed: a.Failed, Blame: string(a.Blame), Before: a.Before, Floor: l.Floor,
	}
	if u.Before == nil {
		u.Before = []string{}
	}
	if u.State == "trial" {
		u.Held = v.Upgrades.Held(time.Now())
		if since := v.since.Load(); since != nil {
			u.Left = max(0, v.deadline().Seconds()-time.Since(*since).Seconds())
		}
	}
	return u
}

// history is all that is known of upgrades, without secrets.
func (v *View) history() ledger.Ledger {
	l := v.Upgrades.Ledger()
	for i := range l.History {
		l.History[i].Reason = v.Base.Report.Clean(l.History[i].Reason)
	}
	return l
}

// crossed is the refusal to go back across a minor version of k3s.
func crossed(a *ledger.Attempt, s backup.State) error {
	if a.Restore != nil {
		return fault.New(fault.Usage, "install that upgrade again: sudo shelf upgrade SOURCE",
			"the data of this server are those of the backup %s since the rollback, and the newer system is upgraded to, not rolled back to", a.Restore.Name)
	}
	last := "this node knows of no backup"
	switch {
	case s.Last.IsZero():
	case s.Last.After(a.Ended):
		last = fmt.Sprintf("the last backup, %s at %s, is from after the upgrade: an older one is needed (sudo shelf backup list)", s.Name, s.To)
	default:
		last = fmt.Sprintf("the last backup is %s at %s", s.Name, s.To)
	}
	return fault.New(fault.Usage, "copy a backup from before the upgrade to the node and run sudo shelf rollback restore=FILE; what was written since then is lost",
		"the data of this server are those of k3s %s since the upgrade, and the system before has k3s %s, which cannot read them; %s", a.K3s, a.FromK3s, last)
}

// crossing is the commit after which the system before must not start any more: that of another
// minor version of k3s. Nil if the last one was none.
func crossing(l ledger.Ledger) *ledger.Attempt {
	for _, a := range slices.Backward(l.History) {
		if a.Result == ledger.Committed {
			if a.K3s != "" && a.FromK3s != "" && !k3sstep.SameMinor(a.FromK3s, a.K3s) {
				return &a
			}
			return nil
		}
	}
	return nil
}
