package main

import (
	"fmt"
	"os"
	"text/tabwriter"
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
			fmt.Println(u.Name)
		}
		return nil
	case asJSON:
		return printJSON(s.Services)
	}
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tPHASE\tSINCE\tRESTARTS\tFAILURES\tPID\tDETAIL")
	for _, u := range s.Services {
		pid := "-"
		if u.PID != 0 {
			pid = fmt.Sprint(u.PID)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%d\t%s\t%s\n", u.Name, u.Phase, span(s.Clock.Now.Sub(u.Since).Seconds()), u.Restarts, u.Failures, pid, u.Detail)
	}
	return t.Flush()
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
		fmt.Println(serviceLine(st))
	}
	if err == nil && st.Bad {
		return fault.New(fault.Unhealthy, "run shelf logs "+words[0], "%s does not run", words[0])
	}
	return err
}
