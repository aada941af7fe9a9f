// Package clock gives a board without a battery the right time, and never one that is before its
// image was made.
//
// The time comes in three steps. preinit raises the clock to the image's date and the last write of
// the data partition; Restore raises it to the time saved here every few minutes and at shutdown;
// Keeper then asks time servers, steps once and afterwards slews. A node without a server thus runs
// with a clock that never goes back, so that certificates made in its last life are valid in this
// one.
package clock

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Path is where the time is saved.
const Path = "/var/lib/shelf/clock"

// SaveEvery is how often Keeper saves the time: at worst a power cut sets the clock back by this
// much.
const SaveEvery = 5 * time.Minute

// reasonable is how far beyond its floor a time may be: a server or a damaged file must not send
// the clock into a year in which no certificate is valid.
const reasonable = 20 * 365 * 24 * time.Hour

// plausible reports whether t can be the time on a node whose image was made at floor.
func plausible(t, floor time.Time) bool {
	return !t.Before(floor) && t.Before(floor.Add(reasonable)) && t.Before(Farthest())
}

// Farthest is beyond every time that the clock may be set to: a year in which every certificate has
// ended, and on a machine of 32 bits the one in which its seconds run out.
func Farthest() time.Time { return farthest(strconv.IntSize) }

func farthest(bits int) time.Time {
	if bits == 32 {
		return time.Date(2038, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
}

// Saved reads the time that Save noted; the zero time when there is none.
func Saved(path string) (time.Time, error) {
	st, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("saved clock: %w", err)
	}
	return st.ModTime(), nil
}

// Save notes now as the modification time of path. Only an inode is written, which the journal
// keeps whole; a file with the time in it would cost the card three times as much.
func Save(path string, now time.Time) error {
	err := os.Chtimes(path, now, now)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(filepath.Dir(path), 0o755); err == nil {
			err = os.WriteFile(path, nil, 0o644)
		}
		if err == nil {
			err = os.Chtimes(path, now, now)
		}
	}
	if err != nil {
		return fmt.Errorf("saving the clock: %w", err)
	}
	return nil
}

// Restore raises the clock to the saved time and to floor, the date of the image, and reports
// whether it had to. A saved time that is before floor or absurdly far after it is not believed.
func Restore(path string, floor time.Time) (raised bool, err error) {
	saved, err := Saved(path)
	to, must := raise(time.Now(), floor, saved)
	if !must {
		return false, err
	}
	return true, errors.Join(err, set(to))
}

// raise returns the time to which a clock that shows now has to be raised, if it has to.
func raise(now, floor, saved time.Time) (time.Time, bool) {
	to := floor
	if plausible(saved, floor) && saved.After(to) {
		to = saved
	}
	return to, now.Before(to)
}

// set steps the system clock.
func set(t time.Time) error {
	ts, err := unix.TimeToTimespec(t)
	if err != nil {
		return fmt.Errorf("setting the clock to %s: %w", t.UTC().Format(time.RFC3339), err)
	}
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &ts); err != nil {
		return fmt.Errorf("setting the clock: %w", err)
	}
	return nil
}

// slew lets the clock run a little faster or slower, by 500 ppm, until it has made up for offset
// (adjtimex(2)).
func slew(offset time.Duration) error {
	var tx unix.Timex
	tx.Modes = unix.ADJ_OFFSET_SINGLESHOT
	assign(&tx.Offset, offset.Microseconds())
	if _, err := unix.Adjtimex(&tx); err != nil {
		return fmt.Errorf("adjusting the clock: %w", err)
	}
	return nil
}

// synced reports to the kernel, and so to its users, that the clock is right within maxError.
func synced(maxError time.Duration) {
	var tx unix.Timex
	tx.Modes = unix.ADJ_STATUS | unix.ADJ_MAXERROR | unix.ADJ_ESTERROR
	assign(&tx.Maxerror, maxError.Microseconds())
	assign(&tx.Esterror, maxError.Microseconds())
	_, _ = unix.Adjtimex(&tx) // for monitoring only
}

// assign sets a field whose width is the machine's.
func assign[T int32 | int64](field *T, v int64) { *field = T(v) }

// SaveRTC writes the system time to the hardware clock of boards that have one.
func SaveRTC() error {
	f, err := os.OpenFile("/dev/rtc0", os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENXIO) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("hardware clock: %w", err)
	}
	defer f.Close()
	now := time.Now().UTC()
	err = unix.IoctlSetRTCTime(int(f.Fd()), &unix.RTCTime{
		Sec: int32(now.Second()), Min: int32(now.Minute()), Hour: int32(now.Hour()),
		Mday: int32(now.Day()), Mon: int32(now.Month()) - 1, Year: int32(now.Year()) - 1900,
	})
	if err != nil {
		return fmt.Errorf("hardware clock: %w", err)
	}
	return nil
}
