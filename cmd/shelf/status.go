package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"imgbuild/cmd/line"
	"imgbuild/init/base/report"
	"imgbuild/init/base/swap"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/terminal"
	"imgbuild/init/status"
	"imgbuild/init/status/control"
	"imgbuild/init/status/health"
)

// askStatus asks PID 1 how the node is.
func askStatus() (s status.Status, err error) {
	err = control.Call(control.Socket, control.Request{Verb: "status"}, &s)
	return s, err
}

func showStatus(asJSON bool) error {
	s, err := askStatus()
	if err != nil {
		return err
	}
	if asJSON {
		err = printJSON(s)
	} else {
		var b bytes.Buffer
		writeStatus(&b, s)
		_, err = os.Stdout.Write(folded([]byte(terminal.Text(b.String())), line.Columns(os.Stdout)))
	}
	if err == nil && s.Health == health.Bad {
		return fault.New(fault.Unhealthy, "run shelf logs NAME, or read what is printed above", "the node is not healthy")
	}
	return err
}

// writeStatus puts the status on one screen: what runs, how it is, what it has, what went wrong.
func writeStatus(w io.Writer, s status.Status) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-10s %s\n", name, fmt.Sprintf(format, args...))
	}
	line("node", "%s, %s on %s", s.Hostname, s.Role, s.Model)
	state := string(s.Health)
	if len(s.Why) > 0 {
		state += ": " + strings.Join(s.Why, "; ")
	}
	if n := len(s.Problems); n > 0 {
		state += fmt.Sprintf(" (problems listed below: %d)", n)
	}
	line("health", "%s", state)
	line("system", "%s in slot %s%s, lock %d days old, kernel %s", s.Version, s.Slot, record(s.Record), s.LockAge, s.Kernel)
	if u := s.Upgrade; u != nil {
		line("upgrade", "%s", upgradeLine(u))
	}
	if a := s.Auto; a != nil {
		line("automatic", "%s", a)
	}
	up := "up " + span(s.Up)
	if s.LastEnd != "" {
		up += "; the boot before ended with: " + s.LastEnd
	}
	line("boot", "%s", up)
	for _, st := range s.Steps {
		if !st.OK {
			line("", "step %s failed after %.1f s", st.Name, st.Seconds)
		}
	}
	line("time", "%s", timeLine(s.Clock))
	for _, n := range networkLines(s) {
		line(n[0], "%s", n[1])
	}
	for i, text := range routerLines(s.Router, s.Clock.Now) {
		line(once("router", i), "%s", strings.TrimSpace(text))
	}
	for i, d := range s.Disks {
		text := fmt.Sprintf("%s %s of %s used (%d %%)", d.Path, size(d.Size-d.Free), size(d.Size), percent(d))
		if d.ReadOnly {
			text += ", READ-ONLY"
		}
		line(once("disk", i), "%s", text)
	}
	if wear := wearLine(s); wear != "" {
		line("wear", "%s", wear)
	}
	line("machine", "%s", machineLine(s))
	for i, a := range s.Swap {
		line(once("swap", i), "%s", swapLine(a))
	}
	if c := s.Certificate; c != nil {
		line("certificates", "of k3s: the first ends on %s (%s)", c.Ends.Format(time.DateOnly), c.Name)
	}
	if s.Backup != nil || s.BackupFailures != nil {
		line("backup", "%s", backupLine(s))
	}
	for i, u := range s.Services {
		if slices.ContainsFunc(s.Why, func(why string) bool {
			return u.Detail != "" && strings.HasSuffix(why, strings.TrimPrefix(u.Detail, u.Phase+": "))
		}) {
			u.Detail = "" // reported above
		}
		line(once("services", i), "%s", serviceLine(u))
	}
	writeProblems(w, s.Problems)
}

func writeProblems(w io.Writer, list []report.Problem) {
	for _, p := range list {
		fmt.Fprintf(w, "\nwhat went wrong: %s\n", p.What)
		if p.Fix != "" {
			fmt.Fprintf(w, "how to fix it:   %s\n", p.Fix)
		}
	}
}

// networkLines are the interfaces and the name in the local network, each with its heading.
func networkLines(s status.Status) (list [][2]string) {
	for i, n := range s.Network {
		list = append(list, [2]string{once("network", i), n.Line})
	}
	if s.MDNS != nil {
		list = append(list, [2]string{"mdns", s.MDNS.String()})
	}
	return list
}

// once is a heading for the first line of several.
func once(name string, i int) string {
	if i > 0 {
		return ""
	}
	return name
}

func record(r *status.Record) string {
	switch {
	case r == nil:
		return " (no boot record)"
	case r.Trial != "":
		return fmt.Sprintf(" (slot %s on trial, %d attempts left)", r.Trial, r.Left)
	}
	return fmt.Sprintf(" (a %s, b %s)", r.A, r.B)
}

func timeLine(c status.Clock) string {
	now := c.Now.Local().Format("2006-01-02 15:04:05 MST")
	if !c.Synced {
		why, more, _ := strings.Cut(c.Why, "; ") // one of each server that was asked
		if n := strings.Count(more, "; "); more != "" {
			why += fmt.Sprintf("; and %d more", n+1)
		}
		return now + ", not from a server: " + why
	}
	return fmt.Sprintf("%s, from %s %s ago, was off by %.3f s", now, c.Server, span(c.Now.Sub(c.Asked).Seconds()), c.Offset)
}

func wearLine(s status.Status) string {
	var parts []string
	for _, m := range s.Machine.Wear {
		for _, l := range m.Life {
			parts = append(parts, fmt.Sprintf("%s: up to %d %% of its life used (cells %s)", m.Device, l.Percent, l.Cells))
		}
		if m.PreEOL > 1 {
			parts = append(parts, m.Device+": its reserve is nearly used up, replace it")
		}
	}
	if s.Written != nil {
		text := fmt.Sprintf("%s written to %s in all", size(s.Written.Total), s.Written.Disk)
		if s.Written.PerDay > 0 {
			text += ", " + size(uint64(s.Written.PerDay)) + " a day"
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, "; ")
}

func machineLine(s status.Status) string {
	parts := []string{fmt.Sprintf("%s of %s memory free, load %s", size(uint64(s.Memory.Available)), size(uint64(s.Memory.Total)), s.Load)}
	for _, z := range s.Machine.Zones {
		parts = append(parts, fmt.Sprintf("%s %.0f °C", z.Type, z.Celsius))
	}
	for _, t := range s.Machine.Throttled {
		if t.On {
			parts = append(parts, "SLOWED DOWN by "+t.Cause)
		}
	}
	if v := s.Machine.UnderVoltage; v != nil && *v {
		parts = append(parts, "UNDER-VOLTAGE: use a better power supply")
	} else if v := s.Machine.UnderVoltageSeen; v != nil && *v {
		parts = append(parts, "there has been under-voltage since the boot")
	}
	return strings.Join(parts, ", ")
}

func swapLine(a swap.Area) string {
	text := fmt.Sprintf("%s of %s used on %s, priority %d", size(uint64(a.Used)), size(uint64(a.Size)), a.Device, a.Priority)
	if strings.HasPrefix(a.Device, "/dev/zram") {
		text += fmt.Sprintf(", compressed to %s of memory", size(uint64(a.Memory)))
	}
	return text
}

func serviceLine(u status.Service) string {
	text := fmt.Sprintf("%-16s %s", u.Name, u.Phase)
	if u.Restarts > 0 {
		text += fmt.Sprintf(", restarted %d times", u.Restarts)
	}
	if u.Detail != "" {
		text += ": " + strings.TrimPrefix(u.Detail, u.Phase+": ")
	}
	return text
}

func percent(d health.Disk) int {
	if d.Size == 0 {
		return 0
	}
	return int((d.Size - d.Free) * 100 / d.Size)
}

// size is a number of bytes for people.
func size(n uint64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	v, i := float64(n), 0
	for v >= 1024 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	if v < 10 && i > 0 {
		return fmt.Sprintf("%.1f %s", v, units[i])
	}
	return fmt.Sprintf("%.0f %s", v, units[i])
}

// span is a time in seconds for people: its two largest units.
func span(seconds float64) string {
	d := time.Duration(max(0, seconds)) * time.Second
	days, hours, minutes := int(d.Hours())/24, int(d.Hours())%24, int(d.Minutes())%60
	switch {
	case days > 0:
		return fmt.Sprintf("%d d %d h", days, hours)
	case hours > 0:
		return fmt.Sprintf("%d h %d min", hours, minutes)
	case minutes > 0:
		return fmt.Sprintf("%d min %d s", minutes, int(d.Seconds())%60)
	}
	return fmt.Sprintf("%d s", int(d.Seconds()))
}

func backupLine(s status.Status) string {
	line := "none yet"
	if s.Backup != nil {
		line = span(s.Clock.Now.Sub(*s.Backup).Seconds()) + " old"
	}
	if n := s.BackupFailures; n != nil && *n > 0 {
		line += fmt.Sprintf("; the last attempt failed, %d in a row (sudo shelf backup)", *n)
	}
	return line
}

func upgradeLine(u *status.Upgrade) string {
	text := fmt.Sprintf("%s, from %s: ", u.Version, u.From)
	switch u.State {
	case "armed":
		return text + "waits for the next boot (sudo shelf reboot, or shelf rollback)"
	case "trial":
		if u.Held {
			return text + "on trial, held (shelf commit or shelf rollback)"
		}
		text += "on trial"
		if u.Left > 0 {
			text += ", for " + span(u.Left) + " more"
		}
		if len(u.Before) > 0 {
			text += ", judged by " + strings.Join(u.Before, ", ")
		}
		return text
	}
	text += u.State + " on " + u.Ended.Format(time.DateOnly)
	if u.Reason != "" {
		text += ", " + u.Reason
	}
	switch u.Blame {
	case "external":
		text += "; the system before fails the same checks: it may be tried once more"
	case "open":
		text += "; whether the system before fails the same checks is not known yet"
	}
	return text
}
