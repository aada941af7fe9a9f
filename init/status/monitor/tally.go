package monitor

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// window is the time over which the bytes written a day are averaged.
const window = 7 * 24 * time.Hour

// enough is how long must have been watched before an average is reported: a boot alone writes more
// than its share.
const enough = time.Hour

// Tally counts the bytes written to one disk, over reboots.
type Tally struct {
	Total   uint64        // bytes since counting began
	Watched time.Duration // how long was counted, at most window
	Rate    float64       // bytes a second over Watched; older time counts the less the longer ago it is

	last uint64 // sectors that the kernel had counted when Add was called last
	when time.Time
}

// PerDay is the average of bytes written a day; ok is false until enough was watched.
func (t *Tally) PerDay() (bytes float64, ok bool) { return t.Rate * 86400, t.Watched >= enough }

// Add takes what the kernel has counted since the boot. now must be monotonic; the first call after
// a boot takes the sectors written before it, and up as the time for them.
func (t *Tally) Add(sectors uint64, now time.Time, up time.Duration) {
	passed := up
	if !t.when.IsZero() {
		passed = now.Sub(t.when)
	}
	if sectors < t.last || passed <= 0 { // another disk under the same name, or a clock that did not move
		t.last, t.when = sectors, now
		return
	}
	bytes := (sectors - t.last) * 512
	t.last, t.when = sectors, now
	t.Total += bytes
	watched := t.Watched + passed
	t.Rate = (t.Rate*t.Watched.Seconds() + float64(bytes)) / watched.Seconds()
	t.Watched = min(watched, window)
}

// Sectors reads how many sectors of 512 bytes the kernel has written to a disk since the boot: the
// seventh number of /sys/block/NAME/stat (the kernel's Documentation/block/stat.rst).
func Sectors(sys, disk string) (uint64, error) {
	text := line(filepath.Join(sys, "block", disk), "stat")
	f := strings.Fields(text)
	if len(f) < 7 {
		return 0, fmt.Errorf("%s: stat has no seventh number: %q", disk, text)
	}
	return strconv.ParseUint(f[6], 10, 64)
}

// attribute is where a tally is kept, on the file of the saved clock: a few bytes in an inode that
// is written every few minutes anyway cost a card nothing, a file of its own would cost it four
// blocks each time.
const attribute = "user.shelf.written"

// Load reads the tally that Save left at path; none is a new one.
func Load(path string) (*Tally, error) {
	buf := make([]byte, 128)
	n, err := unix.Getxattr(path, attribute, buf)
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP) {
		return &Tally{}, nil
	}
	if err != nil {
		return &Tally{}, fmt.Errorf("bytes written: %w", err)
	}
	return parseTally(string(buf[:n]))
}

// Save keeps the tally at path, which must exist.
func (t *Tally) Save(path string) error {
	if err := unix.Setxattr(path, attribute, []byte(t.text()), 0); err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("bytes written: %w", err)
	}
	return nil
}

// text is the tally in a form that fits into an inode: total, seconds watched, bytes a second.
func (t *Tally) text() string {
	return fmt.Sprintf("%d %d %.0f", t.Total, int64(t.Watched.Seconds()), t.Rate)
}

func parseTally(s string) (*Tally, error) {
	var t Tally
	f := strings.Fields(s)
	if len(f) != 3 {
		return &Tally{}, fmt.Errorf("bytes written: %q is not a tally", s)
	}
	total, err1 := strconv.ParseUint(f[0], 10, 64)
	watched, err2 := strconv.ParseInt(f[1], 10, 32)
	rate, err3 := strconv.ParseUint(f[2], 10, 53)
	if err := errors.Join(err1, err2, err3); err != nil || watched < 0 {
		return &Tally{}, fmt.Errorf("bytes written: %q is not a tally", s)
	}
	t.Total, t.Watched, t.Rate = total, min(time.Duration(watched)*time.Second, window), float64(rate)
	return &t, nil
}
