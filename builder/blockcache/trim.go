package blockcache

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// fresh is how young a file is that Trim leaves alone whatever the limit: a running build may be
// about to use it.
const fresh = time.Hour

// TrimDue is Trim, if nobody did it in the last hour: looking at all files costs as much as a build
// of which little changed.
func (c *Cache) TrimDue(limit int64) error {
	mark := filepath.Join(c.dir, "trimmed")
	if info, err := os.Stat(mark); err == nil && time.Since(info.ModTime()).Abs() < fresh {
		return nil
	}
	if _, err := c.Trim(limit); err != nil {
		return err
	}
	if err := os.WriteFile(mark, nil, 0o644); err != nil {
		return deviceFault(err, c.dir)
	}
	now := time.Now()
	return os.Chtimes(mark, now, now)
}

// Trim removes what was not used for the longest time until the cache holds at most limit bytes,
// and unfinished downloads that nobody went on with for a month. It returns the bytes removed.
// Files of the last hour stay.
func (c *Cache) Trim(limit int64) (freed int64, err error) {
	type file struct {
		path string
		size int64
		used time.Time
	}
	var files []file
	var total int64
	now := time.Now()
	err = filepath.WalkDir(c.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || strings.HasSuffix(path, ".sum") {
			return nil // what vanishes meanwhile, another process removed
		}
		info, err := d.Info()
		if err != nil {
			return nil
		}
		switch kind, _, _ := strings.Cut(strings.TrimPrefix(path, c.dir+string(filepath.Separator)), string(filepath.Separator)); kind {
		case "blob", "decoded", "block":
			files = append(files, file{path, info.Size(), info.ModTime()})
			total += info.Size()
		case "partial":
			if now.Sub(info.ModTime()) > 30*24*time.Hour && os.Remove(path) == nil {
				freed += info.Size()
			}
		}
		return nil
	})
	if err != nil {
		return freed, deviceFault(err, c.dir)
	}
	slices.SortFunc(files, func(a, b file) int { return a.used.Compare(b.used) })
	for _, f := range files {
		if total <= limit || now.Sub(f.used) < fresh {
			break
		}
		if err := os.Remove(f.path); err != nil {
			continue
		}
		os.Remove(f.path + ".sum")
		total -= f.size
		freed += f.size
	}
	return freed, nil
}

// used notes that a file was of use just now, for Trim. Once an hour is enough.
func used(name string) {
	if info, err := os.Stat(name); err == nil && time.Since(info.ModTime()) > fresh/2 {
		now := time.Now()
		_ = os.Chtimes(name, now, now)
	}
}
