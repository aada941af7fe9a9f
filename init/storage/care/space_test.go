package care

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
)

// sysfs is a file system's directory: the sizes of its devices in MiB, and total, used and raw
// size of data, metadata and system in MiB.
func sysfs(devices []int, allocation [3][3]int) fstest.MapFS {
	dir := fstest.MapFS{}
	for i, mib := range devices {
		dir[fmt.Sprintf("devices/sd%c/size", 'a'+i)] = &fstest.MapFile{Data: fmt.Appendf(nil, "%d\n", mib<<11)}
	}
	for i, kind := range []string{"data", "metadata", "system"} {
		for j, name := range []string{"total_bytes", "bytes_used", "disk_total"} {
			dir["allocation/"+kind+"/"+name] = &fstest.MapFile{Data: fmt.Appendf(nil, "%d\n", allocation[i][j]<<20)}
		}
	}
	return dir
}

func TestSpace(t *testing.T) {
	const mib = 1 << 20
	for name, c := range map[string]struct {
		dir  fstest.MapFS
		want Space
		bad  string
	}{
		"one disk, half full": {sysfs([]int{100000}, [3][3]int{{50000, 40000, 50000}, {1024, 100, 2048}, {8, 1, 16}}),
			Space{100000 * mib, (100000 - 50000 - 2048 - 16) * mib, (10000 + 100000 - 50000 - 2048 - 16) * mib, 1024 * mib, 100 * mib}, ""},
		"two disks hold it twice": {sysfs([]int{100000, 100000}, [3][3]int{{50000, 40000, 100000}, {1000, 100, 2000}, {8, 1, 16}}),
			Space{200000 * mib, 97984 * mib, (10000 + 48992) * mib, 1000 * mib, 100 * mib}, ""},
		"full": {sysfs([]int{100000}, [3][3]int{{97000, 96500, 97000}, {1024, 100, 2048}, {8, 1, 16}}),
			Space{100000 * mib, 936 * mib, 1436 * mib, 1024 * mib, 100 * mib}, "nearly full"},
		"no space for metadata": {sysfs([]int{100000}, [3][3]int{{97900, 40000, 97900}, {1024, 1000, 2048}, {8, 1, 16}}),
			Space{100000 * mib, 36 * mib, (57900 + 36) * mib, 1024 * mib, 1000 * mib}, "shelf storage balance media"},
		"new": {sysfs([]int{1024}, [3][3]int{{8, 0, 8}, {51, 1, 102}, {8, 1, 16}}),
			Space{1024 * mib, 898 * mib, 906 * mib, 51 * mib, 1 * mib}, ""},
	} {
		got, err := ReadSpace(c.dir)
		if err != nil || got != c.want {
			t.Errorf("%s: got %+v, %v\nwant %+v", name, got, err, c.want)
		}
		if why := got.Trouble("media"); (why == "") != (c.bad == "") || !strings.Contains(why, c.bad) {
			t.Errorf("%s: got %q, want %q", name, why, c.bad)
		}
	}
	if _, err := ReadSpace(fstest.MapFS{}); err == nil {
		t.Error("a file system that is not there: got no error")
	}
}

func TestErrors(t *testing.T) {
	stats := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	dir := fstest.MapFS{
		"devinfo/1/error_stats": stats("write_errs 1\nread_errs 2\nflush_errs 0\ncorruption_errs 28\ngeneration_errs 3\n"),
		"devinfo/2/error_stats": stats("write_errs 0\nread_errs 0\nflush_errs 0\ncorruption_errs 0\ngeneration_errs 0\n"),
		"devinfo/3/error_stats": stats("invalid\n"), // missing
		"devinfo/4/missing":     stats("1\n"),
	}
	got, err := ReadErrors(dir)
	if err != nil || len(got) != 2 || got[0] != (Errors{"1", 1, 2, 0, 28, 3}) || got[1] != (Errors{Device: "2"}) {
		t.Fatalf("got %+v, %v", got, err)
	}
	if why := got[0].Trouble("media"); !strings.Contains(why, "28 wrong checksums") || !strings.Contains(why, "btrfs device stats -z /srv/media") || got[0].Sum() != 34 {
		t.Errorf("got %q", why)
	}
	if why := got[1].Trouble("media"); why != "" {
		t.Errorf("without errors: got %q", why)
	}
	if _, err := ReadErrors(fstest.MapFS{}); err == nil {
		t.Error("a file system that is not there: got no error")
	}
}
