package main

import (
	"fmt"
	"time"

	"imgbuild/init/base/cgroup"
	"imgbuild/init/status/monitor"
)

// top looks twice, a second apart, at what each service uses.
func top(asJSON bool) error {
	look := func() []monitor.Usage { return monitor.WithLogins(monitor.Groups(cgroup.Root), cgroup.Root, "/proc") }
	start, before := time.Now(), look()
	time.Sleep(time.Second)
	list := monitor.Between(before, look(), time.Since(start).Seconds())
	if asJSON {
		return printJSON(list)
	}
	return printTable(topTable(list))
}

func topTable(list []monitor.Used) [][]string {
	rows := [][]string{{"NAME", "MEMORY", "PEAK", "LIMIT", "CPU %", "CPU TIME", "TASKS"}}
	for _, u := range list {
		rows = append(rows, []string{u.Name, bytesOf(u.Memory), bytesOf(u.Peak), bytesOf(u.Limit), number(u.Percent, "%.1f"), number(u.CPU, "%.1f s"), count(u.Tasks)})
	}
	return rows
}

func bytesOf(p *int64) string {
	if p == nil {
		return "-"
	}
	return size(uint64(*p))
}

func count(p *int64) string {
	if p == nil {
		return "-"
	}
	return fmt.Sprint(*p)
}

func number(p *float64, format string) string {
	if p == nil {
		return "-"
	}
	return fmt.Sprintf(format, *p)
}
