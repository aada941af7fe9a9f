package main

import (
	"strings"

	"imgbuild/init/status/control"
)

// end orders the end of the machine. k3OS and others know flags here, such as reboot -f, which are
// passed over: an order is always carried out in order.
func end(verb string, words []string, asJSON bool) error {
	if err := control.Call(control.Socket, control.Request{Verb: verb, Reason: strings.Join(words, " ")}, nil); err != nil {
		return err
	}
	return said(verb, asJSON)
}

// said prints that an order was accepted.
func said(verb string, asJSON bool) error {
	if asJSON {
		return printJSON(map[string]string{"order": verb})
	}
	show(verb, "is on its way")
	return nil
}
