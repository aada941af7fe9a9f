package main

import (
	"fmt"
	"time"

	"imgbuild/init/contract/fault"
	"imgbuild/init/status"
	"imgbuild/init/status/control"
)

// services lists the services; with the word names, for completion, their names alone.
func services(words []string, asJSON bool) error {
	onlyNames := len(words) == 1 && words[0] == "names"
	if !onlyNames && len(words) > 0 {
		return unknown("services", words[0])
	}
	s, err := askStatus()
	if err != nil {
		return err
	}
	switch {
	case onlyNames:
		for _, u := range s.Services {
			show(u.Name)
		}
		return nil
	case asJSON:
		return printJSON(s.Services)
	}
	return printTable(servicesTable(s))
}

func servicesTable(s status.Status) [][]string {
	rows := [][]string{{"NAME", "PHASE", "SINCE", "RESTARTS", "FAILURES", "PID", "DETAIL"}}
	for _, u := range s.Services {
		pid := "-"
		if u.PID != 0 {
			pid = fmt.Sprint(u.PID)
		}
		rows = append(rows, []string{u.Name, u.Phase, span(s.Clock.Now.Sub(u.Since).Seconds()), fmt.Sprint(u.Restarts), fmt.Sprint(u.Failures), pid, u.Detail})
	}
	return rows
}

// unitOrder starts, stops or restarts a service and reports the result.
func unitOrder(verb string, words []string, asJSON bool) error {
	if len(words) != 1 {
		return fault.New(fault.Usage, "run shelf "+verb+" NAME; shelf services lists them", "%s takes one service", verb)
	}
	var st status.Service
	r := control.Request{Verb: verb, Args: map[string]string{"name": words[0]}, Limit: 3 * time.Minute}
	if err := control.Call(control.Socket, r, &st); err != nil {
		return err
	}
	var err error
	if asJSON {
		err = printJSON(st)
	} else {
		show(serviceLine(st))
	}
	if err == nil && st.Bad {
		return fault.New(fault.Unhealthy, "run shelf logs "+words[0], "%s does not run", words[0])
	}
	return err
}
