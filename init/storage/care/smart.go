package care

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Smart is what a disk reports about itself.
type Smart struct {
	Device   string   `json:"device"`
	Known    bool     `json:"known"`  // it reports something; many USB adapters and emulated disks do not
	Asleep   bool     `json:"asleep"` // it was not asked, because that would start it
	Passed   bool     `json:"passed"` // its own verdict
	Celsius  int      `json:"celsius,omitempty"`
	Hours    int      `json:"hours,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
}

// smartctl is what `smartctl -j -i -H -A -n standby,0 DEVICE` of smartmontools 7.4 prints, as far
// as it is read here.
type smartctl struct {
	Smartctl struct {
		Messages []struct{ String string }
	}
	Status *struct{ Passed bool } `json:"smart_status"`
	ATA    struct {
		Table []struct {
			ID         int
			Name       string
			Value      int
			Thresh     int
			WhenFailed string `json:"when_failed"`
			Raw        struct{ Value uint64 }
		}
	} `json:"ata_smart_attributes"`
	NVMe *struct {
		Critical   int    `json:"critical_warning"`
		Spare      int    `json:"available_spare"`
		SpareLimit int    `json:"available_spare_threshold"`
		Used       int    `json:"percentage_used"`
		Media      uint64 `json:"media_errors"`
	} `json:"nvme_smart_health_information_log"`
	Temperature struct{ Current int }
	PowerOn     struct{ Hours int } `json:"power_on_time"`
}

// counted are the attributes of ATA disks whose raw value counts what went wrong. Makers agree on
// these; the rest are read by the disk's own limits alone.
var counted = map[int]string{
	5: "sectors were replaced", 187: "errors could not be corrected", 196: "sectors were moved", 197: "sectors wait to be replaced", 198: "sectors cannot be read",
}

// wears are the attributes of SSDs whose value falls from 100 to 0 as the flash wears out.
var wears = map[int]bool{173: true, 177: true, 202: true, 231: true, 233: true}

// ParseSmart reads smartctl's JSON.
func ParseSmart(device string, text []byte) (Smart, error) {
	var c smartctl
	s := Smart{Device: device}
	if err := json.Unmarshal(text, &c); err != nil {
		return s, fmt.Errorf("smartctl: %w", err)
	}
	for _, m := range c.Smartctl.Messages {
		s.Asleep = s.Asleep || strings.Contains(m.String, "STANDBY") || strings.Contains(m.String, "SLEEP")
	}
	if s.Known = c.Status != nil; !s.Known {
		return s, nil
	}
	s.Passed, s.Celsius, s.Hours = c.Status.Passed, c.Temperature.Current, c.PowerOn.Hours
	warn := func(format string, args ...any) { s.Warnings = append(s.Warnings, fmt.Sprintf(format, args...)) }
	if !s.Passed {
		warn("it expects to fail: save what is on it and replace it")
	}
	for _, a := range c.ATA.Table {
		what := counted[a.ID]
		switch {
		case a.WhenFailed == "now":
			warn("%s is beyond its limit", a.Name)
		case what != "" && a.Raw.Value&0xffffffff > 0: // the upper bytes are the maker's own
			warn("%d %s", a.Raw.Value&0xffffffff, what)
		case wears[a.ID] && a.Value <= 10:
			warn("it is worn out: %d %% of its life are left", a.Value)
		}
	}
	if n := c.NVMe; n != nil {
		if n.Critical != 0 {
			warn("it reports a critical state (%#x)", n.Critical)
		}
		if n.Used >= 90 {
			warn("it is worn out: %d %% of its life are used", n.Used)
		}
		if n.Spare <= n.SpareLimit {
			warn("%d %% of its spare blocks are left", n.Spare)
		}
		if n.Media > 0 {
			warn("%d blocks could not be read", n.Media)
		}
	}
	return s, nil
}

// Line is the state for people.
func (s Smart) Line() string {
	switch {
	case s.Asleep:
		return s.Device + " is asleep"
	case !s.Known:
		return s.Device + " reports nothing about itself (SMART)"
	case len(s.Warnings) > 0:
		return s.Device + ": " + strings.Join(s.Warnings, "; ")
	}
	line := s.Device + " reports no errors (SMART)"
	if s.Celsius > 0 {
		line += fmt.Sprintf(", %d °C", s.Celsius)
	}
	return line
}
