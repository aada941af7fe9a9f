package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"imgbuild/cmd/line"
	"imgbuild/init/base/guard"
	"imgbuild/init/contract/fault"
	"imgbuild/init/router/agent"
	"imgbuild/init/router/service"
)

// routerVerb reports on both sides of a router and on the boards of its shelf. `run` is the service
// itself, and `blocklists` what reads its lists; PID 1 starts both.
func routerVerb(ctx context.Context, a *line.Args) error {
	word := strings.Join(a.Operands, " ")
	switch word {
	case "run":
		return runRouter(ctx)
	case "blocklists":
		return readLists(ctx)
	case "", "status":
	default:
		return unknown("router", word)
	}
	s, err := askStatus()
	if err != nil {
		return err
	}
	if s.Router == nil {
		return fault.New(fault.Usage, "see shelf status for the role, and shelf logs router", "there is no router that has reported on this node")
	}
	if a.JSON() {
		return printJSON(s.Router)
	}
	for _, text := range routerLines(s.Router, time.Now()) {
		show(text)
	}
	rows := [][]string{{"ADDRESS", "MAC", "NAME", "LEASE"}}
	for _, b := range s.Router.Boards {
		lease, name := "none: an address of its own", b.Name
		if !b.Until.IsZero() {
			lease = "for " + span(max(0, time.Until(b.Until).Seconds())) + " more"
		}
		if name == "" {
			name = "-"
		}
		rows = append(rows, []string{b.IP, b.MAC, name, lease})
		for _, ip := range b.IPv6 {
			rows = append(rows, []string{ip, b.MAC, name, "none: an address of its own"})
		}
	}
	if len(rows) == 1 {
		return nil
	}
	show()
	return printTable(rows)
}

// routerLines is a router for people: its sides and the servers that answer; nothing on a node that
// is none.
func routerLines(s *agent.Status, now time.Time) []string {
	if s == nil {
		return nil
	}
	state := "works"
	var f *fault.Error
	if errors.As(s.Fault(now), &f) {
		state = f.What
	}
	list := []string{
		fmt.Sprintf("%s: %s", s.Mode, state),
		"  uplink   " + s.Uplink.Name + ", " + s.Uplink.Words(),
		"  shelf    " + s.Shelf.Name + ", " + s.Shelf.Words() + fmt.Sprintf(", boards: %d", len(s.Boards)),
	}
	if s.Gateway != "" {
		list[1] += ", gateway " + s.Gateway
	}
	for _, l := range s.Lists {
		at := "not read yet"
		if !l.Fetched.IsZero() {
			at = "of " + l.Fetched.Format(time.DateOnly)
		}
		list = append(list, fmt.Sprintf("  blocked  %s: %d names, %s%s", l.From, l.Names, at, l.Left))
	}
	if len(s.Lists) > 0 {
		list = append(list, fmt.Sprintf("  blocked  %d names in all", s.Blocked))
	}
	for _, d := range s.Servers {
		list = append(list, fmt.Sprintf("  dhcp     %s answers requests with %s", d.IP, map[string]string{
			"giaddr": "the router's address", "broadcast": "the broadcast flag"}[d.Form]))
	}
	return list
}

// runRouter is the service.
func runRouter(ctx context.Context) error {
	if os.Geteuid() != 0 {
		return fault.New(fault.Usage, "the node starts it by itself; see shelf services", "only root may run the router")
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	s, err := agent.ReadSettings(agent.SettingsFile)
	if err != nil {
		return err
	}
	say := func(format string, v ...any) { showf(format+"\n", v...) }
	guard.Go(func() { service.GiveTime(ctx, say) })
	a := &agent.Agent{Settings: s, State: agent.StateDir, Status: agent.StatusFile, Say: say}
	return a.Run(ctx)
}

// readLists reads the blocklists once.
func readLists(ctx context.Context) error {
	if os.Geteuid() != 0 {
		return fault.New(fault.Usage, "the node does it by itself; see shelf router", "only root may read the blocklists")
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	s, err := agent.ReadSettings(agent.SettingsFile)
	if err != nil {
		return err
	}
	return service.ReadLists(ctx, s.Names, func(format string, v ...any) { showf(format+"\n", v...) })
}
