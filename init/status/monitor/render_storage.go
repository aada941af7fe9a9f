package monitor

// storage writes the rows of a storage node.
func (w *writer) storage(disks []StorageDisk, shares []StorageShare, backups []StorageBackup) {
	for _, d := range disks {
		if d.Size > 0 {
			w.row("shelf_storage_size_bytes", float64(d.Size), "disk", d.Name)
		}
	}
	for _, d := range disks {
		if d.Size > 0 {
			w.row("shelf_storage_free_bytes", float64(d.Free), "disk", d.Name)
		}
	}
	for _, d := range disks {
		if !d.Scrubbed.IsZero() {
			w.row("shelf_storage_scrub_timestamp_seconds", seconds(d.Scrubbed), "disk", d.Name)
		}
	}
	for _, d := range disks {
		if !d.Scrubbed.IsZero() {
			w.row("shelf_storage_scrub_lost_blocks", float64(d.Lost), "disk", d.Name)
		}
	}
	for _, d := range disks {
		for _, e := range d.Errors {
			w.row("shelf_storage_device_errors", float64(e.Count), "disk", d.Name, "device", e.Device, "kind", e.Kind)
		}
	}
	for _, d := range disks {
		for _, s := range d.Smart {
			w.row("shelf_storage_smart_passed", bit(s.Passed), "disk", d.Name, "device", s.Device)
		}
	}
	for _, d := range disks {
		for _, s := range d.Smart {
			w.row("shelf_storage_smart_warnings", float64(s.Warnings), "disk", d.Name, "device", s.Device)
		}
	}
	for _, d := range disks {
		for _, s := range d.Smart {
			if s.Celsius > 0 {
				w.row("shelf_storage_temperature_celsius", float64(s.Celsius), "disk", d.Name, "device", s.Device)
			}
		}
	}
	for _, s := range shares {
		if !s.Good.IsZero() {
			w.row("shelf_storage_snapshot_good_timestamp_seconds", seconds(s.Good), "share", s.Share)
		}
	}
	for _, b := range backups {
		if !b.Good.IsZero() {
			w.row("shelf_storage_backup_good_timestamp_seconds", seconds(b.Good), "place", b.Place)
		}
	}
}
