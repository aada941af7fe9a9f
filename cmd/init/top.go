package main

import (
	"fmt"
	"sort"
	"time"

	"imgbuild/init/base/cgroup"
	"imgbuild/init/status/monitor"
)

// used is what one group uses, with its share of the processor over the time between two looks.
type used struct {
	monitor.Usage
	Percent *float64 `json:"cpu_percent,omitempty"` // of one core
}

// top looks twice, a second apart, at what each service uses.
func top(asJSON bool) error {
	start := time.Now()
	before := map[string]monitor.Usage{}
	for _, u := range monitor.Groups(cgroup.Root) {
		before[u.Name] = u
	}
	time.Sleep(time.Second)
	passed := time.Since(start).Seconds()
	list := []used{}
	for _, u := range monitor.Groups(cgroup.Root) {
		row := used{Usage: u}
		if b, ok := before[u.Name]; ok && b.CPU != nil && u.CPU != nil {
			p := (*u.CPU - *b.CPU) / passed * 100
			row.Percent = &p
		}
		list = append(list, row)
	}
	sort.SliceStable(list, func(i, j int) bool { return value(list[i].Memory) > value(list[j].Memory) })
	if asJSON {
		return printJSON(list)
	}
	return printTable(topTable(list))
}

func topTable(list []used) [][]string {
	rows := [][]string{{"NAME", "MEMORY", "PEAK", "LIMIT", "CPU %", "CPU TIME", "TASKS"}}
	for _, u := range list {
		rows = append(rows, []string{u.Name, bytesOf(u.Memory), bytesOf(u.Peak), bytesOf(u.Limit), number(u.Percent, "%.1f"), number(u.CPU, "%.1f s"), count(u.Tasks)})
	}
	return rows
}

func value(p *int64) int64 {
	if p == nil {
		return 0
	}
	return *p
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
