package monitor

import (
	"bytes"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/status/health"
)

// Dir is where node-exporter looks for text files, in memory; File is ours.
const (
	Dir  = "/run/shelf/metrics"
	File = Dir + "/shelf.prom"
)

// metric is one row of the table of metrics.
type metric struct{ name, kind, help string }

// table is the order of the file. Names follow Prometheus: base units, _total for counters, _info
// for labels.
var table = [...]metric{
	{"shelf_info", "gauge", "The running system; always 1."},
	{"shelf_boot_timestamp_seconds", "gauge", "When the kernel started."},
	{"shelf_boot_step_seconds", "gauge", "How long each step of the boot took."},
	{"shelf_boot_attempts_left", "gauge", "Attempts that the boot record leaves to the running slot."},
	{"shelf_boot_trial", "gauge", "1 while the running slot is under trial."},
	{"shelf_boot_last_end_info", "gauge", "Why the boot before this one ended; always 1."},
	{"shelf_upgrade_info", "gauge", "The newest upgrade: armed, trial, committed, rolled back or withdrawn; of a rollback whether the system itself is to blame; always 1."},
	{"shelf_upgrade_ended_timestamp_seconds", "gauge", "When that upgrade ended."},
	{"shelf_upgrade_security_floor", "gauge", "The security floor: bundles below it are refused."},
	{"shelf_image_lock_timestamp_seconds", "gauge", "Date of the lock that the image was made from."},
	{"shelf_image_lock_age_seconds", "gauge", "Age of that lock: how long the node has had no security updates."},
	{"shelf_healthy", "gauge", "1 unless a check of the node's health is bad, as shelf status ends with 7."},
	{"shelf_health_check", "gauge", "The state of each check of the node's health: good, starting, waiting or bad; always 1."},
	{"shelf_degraded", "gauge", "1 when the data partition is lost and nothing is kept."},
	{"shelf_problems", "gauge", "Problems reported since the boot."},
	{"shelf_config_problems", "gauge", "What is wrong in the configuration."},
	{"shelf_service_ready", "gauge", "1 when the service is ready."},
	{"shelf_service_phase", "gauge", "The phase that the service is in; always 1."},
	{"shelf_service_restarts_total", "counter", "How often the service was started again since the boot."},
	{"shelf_service_failures_total", "counter", "How often the service ended unasked or could not be started."},
	{"shelf_service_memory_bytes", "gauge", "Memory of the service's cgroup, page cache included."},
	{"shelf_service_cpu_seconds_total", "counter", "Processor time of the service's cgroup."},
	{"shelf_clock_synced", "gauge", "1 when a time server has answered since the boot."},
	{"shelf_clock_offset_seconds", "gauge", "How far the clock was off when a server was asked last, before it was corrected."},
	{"shelf_clock_error_seconds", "gauge", "How far the clock may have been off after that, at most."},
	{"shelf_clock_asked_timestamp_seconds", "gauge", "When a time server answered last."},
	{"shelf_temperature_celsius", "gauge", "Temperature of a thermal zone."},
	{"shelf_throttled", "gauge", "1 when the processor is slowed down, by cause. Absent where the kernel does not report it."},
	{"shelf_undervoltage", "gauge", "1 when the supply is below its limit. Absent where the kernel does not report it."},
	{"shelf_undervoltage_since_boot", "gauge", "1 when the supply has been below its limit since the boot. Absent where the kernel does not report it."},
	{"shelf_disk_read_only", "gauge", "1 when the kernel takes no more writes for the file system, because of its errors. Newer kernels do not report it to node-exporter."},
	{"shelf_disk_wear_percent", "gauge", "Upper bound of the used life of a flash medium, by type of its cells (JEDEC eMMC life time). SD cards do not report it."},
	{"shelf_disk_pre_eol", "gauge", "Reserved blocks of an eMMC: 1 normal, 2 80 % used, 3 90 % used."},
	{"shelf_disk_written_bytes_total", "counter", "Bytes written to the boot disk since the node keeps count, reboots included."},
	{"shelf_disk_written_bytes_per_day", "gauge", "Bytes written to the boot disk in a day, averaged over the last week that the node was on."},
	{"shelf_backup_timestamp_seconds", "gauge", "When the newest backup was made."},
	{"shelf_backup_age_seconds", "gauge", "Age of the newest backup."},
	{"shelf_backup_failures", "gauge", "Attempts to make a backup that failed, in a row."},
	{"shelf_storage_size_bytes", "gauge", "Size of the disks of an entry of storage.disks, by btrfs' own count."},
	{"shelf_storage_free_bytes", "gauge", "Space for files on it, by btrfs' own count."},
	{"shelf_storage_scrub_timestamp_seconds", "gauge", "When its last complete scrub ended."},
	{"shelf_storage_scrub_lost_blocks", "gauge", "Damaged blocks that this scrub could not repair."},
	{"shelf_storage_device_errors", "gauge", "Errors that btrfs counts of its devices, by kind, until somebody sets them back."},
	{"shelf_storage_smart_passed", "gauge", "1 unless a disk expects to fail (SMART). Absent where it reports nothing."},
	{"shelf_storage_smart_warnings", "gauge", "Warnings of a disk about itself; shelf storage shows them."},
	{"shelf_storage_temperature_celsius", "gauge", "Temperature of a disk, asked once a day."},
	{"shelf_storage_snapshot_good_timestamp_seconds", "gauge", "When the snapshots of a share were last up to date: one was made, or nothing was written since the last."},
	{"shelf_storage_backup_good_timestamp_seconds", "gauge", "When all shares were last backed up to a place as they were then. Absent before the first time."},
	{"shelf_k3s_certificate_end_timestamp_seconds", "gauge", "When the first certificate of k3s ends; k3s renews it at a restart."},
	{"shelf_router_uplink", "gauge", "1 when a router's uplink has a link and an address, and its gateway answers."},
	{"shelf_router_boards", "gauge", "Boards that a router knows on its shelf."},
	{"shelf_init_resident_bytes", "gauge", "Memory of PID 1."},
}

// writer puts the text together. Rows come in the order of the table.
type writer struct {
	b    bytes.Buffer
	next int
}

// row writes one value; labels are name and value in turn.
func (w *writer) row(name string, value float64, labels ...string) {
	if w.next == 0 || table[w.next-1].name != name {
		for table[w.next].name != name {
			w.next++ // panics when a row is out of order, which every test of Render would see
		}
		m := table[w.next]
		w.next++
		w.b.WriteString("# HELP " + m.name + " " + m.help + "\n# TYPE " + m.name + " " + m.kind + "\n")
	}
	w.b.WriteString(name)
	for i := 0; i+1 < len(labels); i += 2 {
		w.b.WriteByte("{,"[min(i, 1)])
		w.b.WriteString(labels[i] + `="` + escape(labels[i+1]) + `"`)
	}
	if len(labels) > 1 {
		w.b.WriteByte('}')
	}
	w.b.WriteByte(' ')
	w.b.Write(strconv.AppendFloat(nil, value, 'g', -1, 64))
	w.b.WriteByte('\n')
}

// escape makes a label's value fit for the text format; what is no UTF-8 would cost the whole file.
func escape(s string) string { return escapes.Replace(strings.ToValidUTF8(s, "?")) }

// escapes is made once: making it costs more than all rows of a sample.
var escapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func bit(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// Render returns a sample in Prometheus' text format (version 0.0.4). now is the moment of the
// sample.
func Render(s Sample, now time.Time) []byte {
	w := &writer{}
	w.row("shelf_info", 1, "version", s.Version, "slot", s.Slot, "program", s.Program, "role", s.Role, "board", s.Board, "model", s.Model, "kernel", s.Kernel)
	w.row("shelf_boot_timestamp_seconds", seconds(s.Booted))
	for _, st := range s.Steps {
		w.row("shelf_boot_step_seconds", st.Seconds, "step", st.Name)
	}
	if s.Left != nil {
		w.row("shelf_boot_attempts_left", float64(*s.Left))
	}
	w.row("shelf_boot_trial", bit(s.Trial))
	if s.Last != "" {
		w.row("shelf_boot_last_end_info", 1, "reason", s.Last)
	}
	if u := s.Upgrade; u.State != "" {
		w.row("shelf_upgrade_info", 1, "version", u.Version, "from", u.From, "state", u.State, "blame", u.Blame)
		if !u.Ended.IsZero() {
			w.row("shelf_upgrade_ended_timestamp_seconds", seconds(u.Ended))
		}
		w.row("shelf_upgrade_security_floor", float64(u.Floor))
	}
	if !s.Built.IsZero() {
		w.row("shelf_image_lock_timestamp_seconds", seconds(s.Built))
		w.row("shelf_image_lock_age_seconds", max(0, now.Sub(s.Built).Seconds()))
	}
	if len(s.Checks) > 0 {
		bad := func(r health.Result) bool { return r.State == health.Bad }
		w.row("shelf_healthy", bit(!slices.ContainsFunc(s.Checks, bad)))
		for _, r := range s.Checks {
			w.row("shelf_health_check", 1, "check", r.Check, "state", string(r.State))
		}
	}
	w.row("shelf_degraded", bit(s.Degraded))
	w.row("shelf_problems", float64(s.Problems))
	w.row("shelf_config_problems", float64(s.ConfigProblems))
	w.services(s.Services)
	w.row("shelf_clock_synced", bit(s.Synced))
	if s.Synced {
		w.row("shelf_clock_offset_seconds", s.ClockOffset.Seconds())
		w.row("shelf_clock_error_seconds", s.ClockError.Seconds())
		w.row("shelf_clock_asked_timestamp_seconds", seconds(s.ClockAsked))
	}
	w.machine(s.Machine)
	if s.Written != nil && s.Disk != "" {
		w.row("shelf_disk_written_bytes_total", float64(s.Written.Total), "device", s.Disk)
		if perDay, ok := s.Written.PerDay(); ok {
			w.row("shelf_disk_written_bytes_per_day", perDay, "device", s.Disk)
		}
	}
	if !s.Backup.IsZero() {
		w.row("shelf_backup_timestamp_seconds", seconds(s.Backup))
		w.row("shelf_backup_age_seconds", max(0, now.Sub(s.Backup).Seconds()))
	}
	if s.Fails != nil {
		w.row("shelf_backup_failures", float64(*s.Fails))
	}
	w.storage(s.Storage, s.Snapshots, s.Backups)
	if !s.Certificate.IsZero() {
		w.row("shelf_k3s_certificate_end_timestamp_seconds", seconds(s.Certificate))
	}
	if r := s.Router; r != nil {
		w.row("shelf_router_uplink", bit(r.Uplink))
		w.row("shelf_router_boards", float64(r.Boards))
	}
	if s.InitRSS > 0 {
		w.row("shelf_init_resident_bytes", float64(s.InitRSS))
	}
	return w.b.Bytes()
}

func (w *writer) services(list []Service) {
	for _, u := range list {
		w.row("shelf_service_ready", bit(u.Ready), "service", u.Name)
	}
	for _, u := range list {
		w.row("shelf_service_phase", 1, "service", u.Name, "phase", u.Phase)
	}
	for _, u := range list {
		w.row("shelf_service_restarts_total", float64(max(0, u.Starts-1)), "service", u.Name)
	}
	for _, u := range list {
		w.row("shelf_service_failures_total", float64(u.Failures), "service", u.Name)
	}
	for _, u := range list {
		if u.Memory != nil {
			w.row("shelf_service_memory_bytes", float64(*u.Memory), "service", u.Name)
		}
	}
	for _, u := range list {
		if u.CPU != nil {
			w.row("shelf_service_cpu_seconds_total", *u.CPU, "service", u.Name)
		}
	}
}

func (w *writer) machine(m Machine) {
	for _, z := range m.Zones {
		w.row("shelf_temperature_celsius", z.Celsius, "zone", z.Name, "type", z.Type)
	}
	for _, t := range m.Throttled {
		w.row("shelf_throttled", bit(t.On), "cause", t.Cause)
	}
	if m.UnderVoltage != nil {
		w.row("shelf_undervoltage", bit(*m.UnderVoltage))
	}
	if m.UnderVoltageSeen != nil {
		w.row("shelf_undervoltage_since_boot", bit(*m.UnderVoltageSeen))
	}
	for _, path := range slices.Sorted(maps.Keys(m.ReadOnly)) {
		w.row("shelf_disk_read_only", bit(m.ReadOnly[path]), "mountpoint", path)
	}
	for _, d := range m.Wear {
		for _, l := range d.Life {
			w.row("shelf_disk_wear_percent", float64(l.Percent), "device", d.Device, "cells", l.Cells)
		}
	}
	for _, d := range m.Wear {
		if d.PreEOL > 0 {
			w.row("shelf_disk_pre_eol", float64(d.PreEOL), "device", d.Device)
		}
	}
}

// Write puts a sample into path in one go, so that node-exporter never reads half of it.
func Write(path string, s Sample, now time.Time) error {
	return atomicfile.Write(path, Render(s, now), 0o644)
}
