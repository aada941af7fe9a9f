package backup

import (
	"os"
	"path/filepath"
	"strings"

	"imgbuild/init/disk"
)

// attached returns the UUIDs of the btrfs file systems of the machine's disks and partitions, by
// attachment: the device's name with the number that the kernel gives each disk that comes. What is
// in known is not read again: a disk that sleeps goes on sleeping.
func attached(sys, dev string, known map[string]string) (map[string]string, error) {
	entries, err := os.ReadDir(filepath.Join(sys, "class/block"))
	if err != nil {
		return nil, err
	}
	now := map[string]string{}
	for _, e := range entries {
		if kind := disk.KindOf(e.Name()); kind != disk.Plain && kind != disk.Array {
			continue
		}
		dir, err := filepath.EvalSymlinks(filepath.Join(sys, "class/block", e.Name()))
		if err != nil {
			continue // it goes just now
		}
		key := e.Name() + " " + sequence(dir)
		uuid, ok := known[key]
		if !ok {
			if fs, err := probe(filepath.Join(dev, e.Name())); err == nil && fs.Type == "btrfs" {
				uuid = fs.UUID
			}
		}
		now[key] = uuid
	}
	return now, nil
}

// sequence is the number of a disk, or of the disk that a partition is on.
func sequence(dir string) string {
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if text, err := os.ReadFile(filepath.Join(d, "diskseq")); err == nil {
			return strings.TrimSpace(string(text))
		}
	}
	return ""
}
