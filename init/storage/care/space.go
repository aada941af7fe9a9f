package care

import (
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// Space is how full a btrfs is by its own count, in bytes of files: what two disks hold twice
// counts once. statfs does not know that there may be space for data and none for metadata.
type Space struct {
	Size         uint64 `json:"size"` // of all its devices
	Unallocated  uint64 `json:"unallocated"`
	Free         uint64 `json:"free"` // for files: in data chunks, and what new ones would hold
	MetadataSize uint64 `json:"metadata_size"`
	MetadataUsed uint64 `json:"metadata_used"`
}

// Where a warning begins.
const (
	lowFree     = 50      // free space below a fiftieth
	lowMetadata = 8       // free metadata below an eighth, with no space for another chunk
	chunk       = 1 << 30 // of metadata on a large disk, twice where there are two copies
)

// Trouble reports what is wrong with the space and how to fix it; empty for nothing. name is the
// disk's.
func (s Space) Trouble(name string) string {
	switch {
	case s.Size == 0:
	case s.Unallocated < min(chunk, s.Size/20) && (s.MetadataSize-s.MetadataUsed) < s.MetadataSize/lowMetadata:
		return "nearly no space is left for metadata, and writes fail soon: delete snapshots or files, then run `sudo shelf storage balance " + name + "`"
	case s.Free < s.Size/lowFree:
		return fmt.Sprintf("it is nearly full: %.1f GB are free; delete files or snapshots", float64(s.Free)/1e9)
	}
	return ""
}

// ReadSpace reads the count of the file system whose directory in /sys/fs/btrfs is dir
// (Documentation/ABI/testing/sysfs-fs-btrfs of Linux; sizes of devices are in sectors of 512
// bytes).
func ReadSpace(dir fs.FS) (Space, error) {
	var s Space
	devices, err := fs.ReadDir(dir, "devices")
	if err != nil {
		return s, err
	}
	for _, d := range devices {
		sectors, err := number(dir, path.Join("devices", d.Name(), "size"))
		if err != nil {
			return s, err
		}
		s.Size += sectors << 9
	}
	var total, used, raw, given uint64
	for _, kind := range []string{"data", "metadata", "system"} {
		var n [3]uint64
		for i, name := range []string{"total_bytes", "bytes_used", "disk_total"} {
			if n[i], err = number(dir, path.Join("allocation", kind, name)); err != nil {
				return s, err
			}
		}
		given += n[2]
		switch kind {
		case "data":
			total, used, raw = n[0], n[1], n[2]
		case "metadata":
			s.MetadataSize, s.MetadataUsed = n[0], n[1]
		}
	}
	s.Unallocated = s.Size - min(given, s.Size)
	s.Free = total - min(used, total)
	if total > 0 && raw > 0 {
		s.Free += uint64(float64(s.Unallocated) * float64(total) / float64(raw))
	} else {
		s.Free += s.Unallocated
	}
	return s, nil
}

func number(dir fs.FS, name string) (uint64, error) {
	text, err := fs.ReadFile(dir, name)
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
}
