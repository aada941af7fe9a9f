package main

import (
	"os"
	"strings"

	"imgbuild/init/contract/fault"
)

func showReport(asJSON bool) error {
	text, err := os.ReadFile("/run/shelf/report.txt")
	if err != nil {
		return fault.Wrap(err, fault.Unhealthy, "wait until the boot is over", "there is no report yet")
	}
	if asJSON {
		return printJSON(map[string]string{"report": string(text)})
	}
	showf("%s", strings.ReplaceAll(string(text), "\r\n", "\n"))
	return nil
}
