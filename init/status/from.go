package status

import (
	"strings"
	"time"

	"imgbuild/init/contract/bootstate"
	"imgbuild/init/net/clock"
	"imgbuild/init/net/network"
	"imgbuild/init/status/health"
	"imgbuild/init/supervise"
)

// ServiceOf returns a unit's part of the status.
func ServiceOf(u supervise.State) Service {
	return Service{
		Name: u.Name, Phase: string(u.Phase), Ready: u.Ready, Outside: u.Outside(), Detail: u.Detail, PID: u.PID, Since: asOfNow(u.Since),
		Starts: u.Starts, Restarts: max(0, u.Starts-1), Failures: u.Failures, LastExit: u.LastExit, Bad: health.Failing(u),
	}
}

// asOfNow returns the moment of t, which was read from the clock of this process, as the clock
// counts now. The clock may have been set since, by years on a board without a battery, and what
// began then must not seem so old.
func asOfNow(t time.Time) time.Time {
	now := time.Now()
	return now.Add(-now.Sub(t)).UTC()
}

// Booted is when a boot began, for the report. Before a time server has answered the clock may be
// wrong by years, and the text notes that.
func Booted(at time.Time, synced bool) string {
	text := at.UTC().Format("2006-01-02 15:04:05 UTC")
	if !synced {
		text += " by the node's own clock; no time server has confirmed it"
	}
	return text
}

// InterfaceOf returns an interface's part of the status.
func InterfaceOf(i network.Status) Interface {
	out := Interface{Name: i.Name, MAC: i.MAC, Carrier: i.Carrier, DHCP: i.DHCP, Addresses: []string{}, Server: i.Server, Line: i.String()}
	for _, a := range i.Addresses {
		out.Addresses = append(out.Addresses, a.String())
	}
	if i.Gateway.IsValid() {
		out.Gateway = i.Gateway.String()
	}
	if i.Gateway6.IsValid() {
		out.Gateway6 = i.Gateway6.String()
	}
	for _, a := range i.State.DNS {
		out.DNS = append(out.DNS, a.String())
	}
	return out
}

// RecordOf returns the boot record's part of the status.
func RecordOf(r bootstate.Record) *Record { return &Record{r.Active, r.Trial, r.Left, r.A, r.B} }

// ClockOf returns the clock's part of the status.
func ClockOf(c clock.Status) Clock {
	out := Clock{Synced: c.Synced, Server: c.Server, Offset: c.Offset.Seconds(), Level: int(c.Level), Error: c.Error.Seconds(), Why: c.Why, Now: time.Now().UTC()}
	if c.Synced {
		out.Asked = c.When.UTC()
	}
	return out
}

// LastEnd is why the boot before this one ended: the data partition's entry (how), which covers
// power cuts and panics, else the boot record's.
func LastEnd(how, record string) string {
	if how == "" {
		return record
	}
	// The boot script's reason, or the note of a step that failed before the data
	// partition was there.
	for _, of := range []string{"exhausted", "did-not-load", "no-record", "not-writable", "failed"} {
		if strings.HasSuffix(record, of) {
			return how + "; the boot record has " + record
		}
	}
	if strings.HasPrefix(record, "verity") {
		return how + "; the boot record has " + record
	}
	// An orderly end that the record does not know of was followed by a boot without the data
	// partition: the rescue system.
	if orderly := !strings.HasPrefix(how, "no orderly") && !strings.HasPrefix(how, "panic"); orderly && record != "" && record != bootstate.Reason(how) {
		return record
	}
	return how
}
