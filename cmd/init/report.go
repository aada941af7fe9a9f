package main

import (
	"os"

	"imgbuild/init/fault"
)

func showReport(args []string) error {
	if err := none("report", args); err != nil {
		return err
	}
	text, err := os.ReadFile("/run/shelf/report.txt")
	if err != nil {
		return fault.Wrap(fault.Unhealthy, err, "there is no report yet", "wait until the boot is over")
	}
	_, err = os.Stdout.Write(text)
	return err
}
