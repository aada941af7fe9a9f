package care

import (
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// Errors are the errors that btrfs counts of one device, kept on the disk until somebody sets them
// back.
type Errors struct {
	Device     string `json:"device"` // its number in the file system
	Write      uint64 `json:"write"`
	Read       uint64 `json:"read"`
	Flush      uint64 `json:"flush"`
	Corruption uint64 `json:"corruption"` // wrong checksums
	Generation uint64 `json:"generation"` // blocks that are older than they should be
}

// Sum is how many there are.
func (e Errors) Sum() uint64 { return e.Write + e.Read + e.Flush + e.Corruption + e.Generation }

// Trouble reports the errors and what to do; empty without any. name is the disk's.
func (e Errors) Trouble(name string) string {
	if e.Sum() == 0 {
		return ""
	}
	return fmt.Sprintf("its device %s has had errors (%d of writing, %d of reading, %d of flushing, %d wrong checksums, %d of old blocks): "+
		"look at cable and power, run `sudo shelf storage scrub %s`, then `sudo btrfs device stats -z /srv/%s`; if they come again replace the disk",
		e.Device, e.Write, e.Read, e.Flush, e.Corruption, e.Generation, name, name)
}

// ReadErrors reads the counts of every device of the file system whose directory in /sys/fs/btrfs
// is dir. A device that is missing has none.
func ReadErrors(dir fs.FS) ([]Errors, error) {
	devices, err := fs.ReadDir(dir, "devinfo")
	if err != nil {
		return nil, err
	}
	var list []Errors
	for _, d := range devices {
		text, err := fs.ReadFile(dir, path.Join("devinfo", d.Name(), "error_stats"))
		if err != nil {
			continue
		}
		if e, ok := parseErrors(string(text)); ok {
			e.Device = d.Name()
			list = append(list, e)
		}
	}
	return list, nil
}

// parseErrors reads error_stats; false when the kernel has not read the counts.
func parseErrors(text string) (e Errors, ok bool) {
	found := 0
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) != 2 {
			continue
		}
		n, err := strconv.ParseUint(f[1], 10, 64)
		to := map[string]*uint64{"write_errs": &e.Write, "read_errs": &e.Read, "flush_errs": &e.Flush, "corruption_errs": &e.Corruption, "generation_errs": &e.Generation}[f[0]]
		if err == nil && to != nil {
			*to = n
			found++
		}
	}
	return e, found == 5
}
