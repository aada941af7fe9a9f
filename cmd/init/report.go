package main

import (
	"os"

	"imgbuild/init/contract/fault"
)

func showReport(args []string) error {
	asJSON, err := plain("report", args)
	if err != nil {
		return err
	}
	text, err := os.ReadFile("/run/shelf/report.txt")
	if err != nil {
		return fault.Wrap(err, fault.Unhealthy, "wait until the boot is over", "there is no report yet")
	}
	if asJSON {
		return printJSON(map[string]string{"report": string(text)})
	}
	_, err = os.Stdout.Write(text)
	return err
}
