package monitor

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"imgbuild/init/status/health"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// parse reads a text as Prometheus does.
func parse(t *testing.T, text []byte) map[string]*dto.MetricFamily {
	t.Helper()
	p := expfmt.NewTextParser(model.LegacyValidation)
	families, err := p.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return families
}

func everything() Sample {
	two, memory, cpu, yes := 2, int64(4<<20), 1.5, true
	return Sample{
		Version: "20261121-b92f60b7", Slot: "a", Program: "v1", Role: "worker", Board: "rpi4", Model: "a \"quoted\" \\ model\nof two lines \xff", Kernel: "6.12",
		Built: noon.Add(-36 * time.Hour), Booted: noon.Add(-time.Hour), Steps: []Step{{"preinit", 0.5}, {"layout", 1}},
		Left: &two, Trial: true, Last: "power", Degraded: true, Problems: 3, ConfigProblems: 1,
		Checks:   []health.Result{{Check: "sshd", State: health.Good}, {Check: "k3s", State: health.Bad, Why: []string{"k3s: failed"}}},
		Services: []Service{{"sshd", "ready", true, 1, 0, &memory, &cpu}, {"k3s", "failed", false, 5, 5, nil, nil}, {"later", "stopped", false, 0, 0, nil, nil}},
		Synced:   true, ClockOffset: -20 * time.Millisecond, ClockError: time.Millisecond, ClockAsked: noon.Add(-time.Minute),
		Machine: Machine{
			Zones: []Zone{{"thermal_zone0", "cpu-thermal", 48.3}}, Throttled: []Throttle{{"heat", true}}, UnderVoltage: &yes, UnderVoltageSeen: &yes,
			ReadOnly: map[string]bool{"/": true, "/var/lib/rancher/k3s": false},
			Wear:     []Wear{{"mmcblk1", []Life{{"a", 10}, {"b", 20}}, 1}},
		},
		Written: &Tally{Total: 1 << 30, Watched: 2 * time.Hour, Rate: 100}, Disk: "mmcblk0", Backup: noon.Add(-26 * time.Hour), Fails: &two, InitRSS: 15 << 20,
		Storage: []StorageDisk{
			{"media", 1 << 40, 1 << 38, noon.Add(-time.Hour), 2, []DeviceError{{"1", "write", 3}, {"1", "read", 0}}, []DiskSmart{{"sda", true, 1, 36}, {"sdb", false, 2, 0}}},
			{Name: "ext4"},
		},
		Snapshots:   []StorageShare{{"photos", noon.Add(-time.Minute)}, {Share: "none yet"}},
		Backups:     []StorageBackup{{"stick", noon.Add(-time.Hour)}, {Place: "never attached"}},
		Certificate: noon.Add(400 * 24 * time.Hour), Router: &Router{true, 3}, Upgrade: Upgrade{"v2", "v1", "rolled back", "own", noon.Add(-time.Minute), 7},
	}
}

func TestRender(t *testing.T) {
	f := parse(t, Render(everything(), noon))
	for _, name := range metricNames() {
		if f[name] == nil {
			t.Errorf("%s is in the table and was not written", name)
		}
	}
	if len(f) != len(metricNames()) {
		t.Errorf("%d families, %d in the table", len(f), len(metricNames()))
	}
	value := func(name string, labels ...string) float64 {
		t.Helper()
		v, ok := Value(f, name, labels...)
		if !ok {
			t.Errorf("there is no %s %v", name, labels)
		}
		return v
	}
	for _, c := range []struct {
		want   float64
		name   string
		labels []string
	}{
		{1, "shelf_info", []string{"version", "20261121-b92f60b7", "slot", "a", "model", "a \"quoted\" \\ model\nof two lines ?"}},
		{2, "shelf_boot_attempts_left", nil},
		{36 * 3600, "shelf_image_lock_age_seconds", nil},
		{0, "shelf_healthy", nil},
		{1, "shelf_health_check", []string{"check", "sshd", "state", "good"}},
		{1, "shelf_health_check", []string{"check", "k3s", "state", "bad"}},
		{1, "shelf_service_ready", []string{"service", "sshd"}},
		{0, "shelf_service_ready", []string{"service", "k3s"}},
		{4, "shelf_service_restarts_total", []string{"service", "k3s"}},
		{0, "shelf_service_restarts_total", []string{"service", "later"}},
		{1, "shelf_service_phase", []string{"service", "k3s", "phase", "failed"}},
		{-0.02, "shelf_clock_offset_seconds", nil},
		{1, "shelf_disk_read_only", []string{"mountpoint", "/"}},
		{0, "shelf_disk_read_only", []string{"mountpoint", "/var/lib/rancher/k3s"}},
		{48.3, "shelf_temperature_celsius", []string{"type", "cpu-thermal"}},
		{20, "shelf_disk_wear_percent", []string{"device", "mmcblk1", "cells", "b"}},
		{1 << 38, "shelf_storage_free_bytes", []string{"disk", "media"}},
		{2, "shelf_storage_scrub_lost_blocks", []string{"disk", "media"}},
		{3, "shelf_storage_device_errors", []string{"disk", "media", "device", "1", "kind", "write"}},
		{0, "shelf_storage_smart_passed", []string{"device", "sdb"}},
		{36, "shelf_storage_temperature_celsius", []string{"device", "sda"}},
		{float64(noon.Add(-time.Minute).Unix()), "shelf_storage_snapshot_good_timestamp_seconds", []string{"share", "photos"}},
		{float64(noon.Add(-time.Hour).Unix()), "shelf_storage_backup_good_timestamp_seconds", []string{"place", "stick"}},
		{1 << 30, "shelf_disk_written_bytes_total", []string{"device", "mmcblk0"}},
		{8.64e6, "shelf_disk_written_bytes_per_day", nil},
		{26 * 3600, "shelf_backup_age_seconds", nil},
		{2, "shelf_backup_failures", nil},
		{float64(noon.Add(400 * 24 * time.Hour).Unix()), "shelf_k3s_certificate_end_timestamp_seconds", nil},
	} {
		if got := value(c.name, c.labels...); math.Abs(got-c.want) > 1e-9*math.Abs(c.want) {
			t.Errorf("%s%v is %v, want %v", c.name, c.labels, got, c.want)
		}
	}
	if f["shelf_service_restarts_total"].GetType() != dto.MetricType_COUNTER {
		t.Error("restarts are not a counter")
	}
}

// An unknown value is not reported.
func TestAbsent(t *testing.T) {
	f := parse(t, Render(Sample{Written: &Tally{Total: 5, Watched: time.Minute}, Disk: "vda"}, noon))
	for _, name := range []string{"shelf_undervoltage", "shelf_undervoltage_since_boot", "shelf_throttled", "shelf_temperature_celsius", "shelf_disk_wear_percent",
		"shelf_disk_pre_eol", "shelf_backup_age_seconds", "shelf_backup_failures", "shelf_k3s_certificate_end_timestamp_seconds", "shelf_clock_offset_seconds", "shelf_disk_written_bytes_per_day", "shelf_boot_attempts_left", "shelf_boot_last_end_info"} {
		if f[name] != nil {
			t.Errorf("%s is reported: %v, want nil", name, f[name])
		}
	}
	if f["shelf_disk_written_bytes_total"] == nil || f["shelf_clock_synced"] == nil {
		t.Error("what is known is not reported")
	}
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "shelf.prom")
	for range 2 {
		if err := Write(path, everything(), noon); err != nil {
			t.Fatal(err)
		}
	}
	entries, _ := os.ReadDir(dir)
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o644 || len(entries) != 1 {
		t.Errorf("%v %v %v", st, err, entries)
	}
	text, _ := os.ReadFile(path)
	parse(t, text)
}

// Value finds one value among families.
func Value(f map[string]*dto.MetricFamily, name string, labels ...string) (float64, bool) {
	for _, m := range f[name].GetMetric() {
		have := map[string]string{}
		for _, l := range m.GetLabel() {
			have[l.GetName()] = l.GetValue()
		}
		fits := true
		for i := 0; i+1 < len(labels); i += 2 {
			fits = fits && have[labels[i]] == labels[i+1]
		}
		if fits {
			return m.GetGauge().GetValue() + m.GetCounter().GetValue() + m.GetUntyped().GetValue(), true
		}
	}
	return 0, false
}

// metricNames lists every name that Render can write, in its order.
func metricNames() []string {
	var names []string
	for _, m := range table {
		names = append(names, m.name)
	}
	return names
}
