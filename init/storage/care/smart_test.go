package care

import (
	"strings"
	"testing"
)

func TestSmart(t *testing.T) {
	const ata = `{"smartctl":{"version":[7,4],"exit_status":0},"device":{"name":"/dev/sda","type":"sat","protocol":"ATA"},"smart_status":{"passed":true},
"ata_smart_attributes":{"revision":16,"table":[
{"id":5,"name":"Reallocated_Sector_Ct","value":100,"worst":100,"thresh":10,"when_failed":"","raw":{"value":RAW5,"string":"0"}},
{"id":194,"name":"Temperature_Celsius","value":64,"worst":50,"thresh":0,"when_failed":"","raw":{"value":150323855396,"string":"36"}},
{"id":197,"name":"Current_Pending_Sector","value":100,"worst":100,"thresh":0,"when_failed":"","raw":{"value":RAW197,"string":"0"}},
{"id":231,"name":"SSD_Life_Left","value":LIFE,"worst":90,"thresh":0,"when_failed":"","raw":{"value":99,"string":"99"}}]},
"temperature":{"current":36},"power_on_time":{"hours":12345}}`
	with := func(raw5, raw197, life string) string {
		return strings.NewReplacer("RAW5", raw5, "RAW197", raw197, "LIFE", life).Replace(ata)
	}
	nvme := func(log string) string {
		return `{"smartctl":{"exit_status":0},"device":{"protocol":"NVMe"},"smart_status":{"passed":true},"nvme_smart_health_information_log":` + log + `}`
	}
	for name, c := range map[string]struct {
		text string
		want Smart
		warn []string // parts of the warnings, in order
	}{
		"good":              {with("0", "0", "90"), Smart{Known: true, Passed: true, Celsius: 36, Hours: 12345}, nil},
		"replaced, pending": {with("8", "2", "90"), Smart{Known: true, Passed: true, Celsius: 36, Hours: 12345}, []string{"8 sectors were replaced", "2 sectors wait"}},
		"a maker's bytes":   {with("4294967296", "0", "90"), Smart{Known: true, Passed: true, Celsius: 36, Hours: 12345}, nil},
		"worn":              {with("0", "0", "9"), Smart{Known: true, Passed: true, Celsius: 36, Hours: 12345}, []string{"9 % of its life"}},
		"fails":             {`{"smart_status":{"passed":false},"ata_smart_attributes":{"table":[{"id":10,"name":"Spin_Retry_Count","value":1,"thresh":97,"when_failed":"now","raw":{"value":0}}]}}`, Smart{Known: true}, []string{"expects to fail", "Spin_Retry_Count"}},
		"NVMe":              {nvme(`{"critical_warning":0,"available_spare":100,"available_spare_threshold":10,"percentage_used":3,"media_errors":0}`), Smart{Known: true, Passed: true}, nil},
		"NVMe in trouble": {nvme(`{"critical_warning":4,"available_spare":5,"available_spare_threshold":10,"percentage_used":101,"media_errors":7}`), Smart{Known: true, Passed: true},
			[]string{"0x4", "101 %", "5 % of its spare", "7 blocks"}},
		"asleep":  {`{"smartctl":{"exit_status":0,"messages":[{"string":"Device is in STANDBY mode, exit(0)","severity":"information"}]}}`, Smart{Asleep: true}, nil},
		"unknown": {`{"smartctl":{"exit_status":1,"messages":[{"string":"/dev/vda: Unable to detect device type","severity":"error"}]}}`, Smart{}, nil},
	} {
		got, err := ParseSmart("/dev/sda", []byte(c.text))
		if err != nil || got.Known != c.want.Known || got.Passed != c.want.Passed || got.Asleep != c.want.Asleep || got.Celsius != c.want.Celsius || got.Hours != c.want.Hours {
			t.Errorf("%s: got %+v, %v, want %+v", name, got, err, c.want)
		}
		if len(got.Warnings) != len(c.warn) {
			t.Errorf("%s: got %q, want %q", name, got.Warnings, c.warn)
			continue
		}
		for i, part := range c.warn {
			if !strings.Contains(got.Warnings[i], part) || !strings.Contains(got.Line(), part) {
				t.Errorf("%s: got %q, want %q", name, got.Warnings[i], part)
			}
		}
	}
	if _, err := ParseSmart("/dev/sda", []byte("smartctl: not found")); err == nil {
		t.Error("no JSON: got no error")
	}
}
