package main

import (
	"os"

	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/terminal"
)

func showReport(asJSON bool) error {
	text, err := os.ReadFile("/run/shelf/report.txt")
	if err != nil {
		return fault.Wrap(err, fault.Unhealthy, "wait until the boot is over", "there is no report yet")
	}
	if asJSON {
		return printJSON(map[string]string{"report": string(text)})
	}
	_, err = os.Stdout.WriteString(terminal.Text(string(text)))
	return err
}
