package bootstate

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"slices"
	"strconv"
	"testing"
)

// disk holds the two sectors and remembers what was asked of it, in order.
type disk struct {
	sectors [2][]byte
	trace   []step
	fail    map[int64]error
}

// step is a write (data is set) or a flush.
type step struct {
	copy int
	data []byte
}

func (d *disk) ReadAt(p []byte, off int64) (int, error) {
	if err := d.fail[off]; err != nil {
		return 0, err
	}
	return copy(p, d.sectors[copyAt(off)]), nil
}

func (d *disk) WriteAt(p []byte, off int64) (int, error) {
	i := copyAt(off)
	d.sectors[i] = slices.Clone(p)
	d.trace = append(d.trace, step{i, slices.Clone(p)})
	return len(p), nil
}

func (d *disk) Flush() error {
	d.trace = append(d.trace, step{})
	return nil
}

func copyAt(off int64) int {
	switch off {
	case 4 << 20:
		return 0
	case 12 << 20:
		return 1
	}
	panic(fmt.Sprintf("the record has no copy at %d", off))
}

// crashes returns every content that a disk may hold if power fails somewhere in the trace: a write
// before the last flush is there; one after it is there, absent, torn at some byte either way
// round, or has taken its erase block with it.
func crashes(start [2][]byte, trace []step) (after [][2][]byte) {
	stable := start
	var pending []step
	spread := func() {
		states := [][2][]byte{stable}
		for _, w := range pending {
			var next [][2][]byte
			for _, s := range states {
				for _, content := range outcomes(s[w.copy], w.data) {
					n := s
					n[w.copy] = content
					next = append(next, n)
				}
			}
			states = next
		}
		after = append(after, states...)
	}
	for _, s := range trace {
		if s.data == nil {
			for _, w := range pending {
				stable[w.copy] = w.data
			}
			pending = nil
		} else {
			pending = append(pending, s)
		}
		spread()
	}
	return after
}

func outcomes(old, young []byte) [][]byte {
	out := [][]byte{old, young, make([]byte, Size), bytes.Repeat([]byte{0xff}, Size)}
	for _, cut := range []int{4, 12, 32, 60, 256} {
		out = append(out, append(slices.Clone(young[:cut]), old[cut:]...), append(slices.Clone(old[:cut]), young[cut:]...))
	}
	return out
}

// reader is a second opinion on a disk, written without this package: the text of the
// winning copy without seq, or "" when there is none.
func reader(sectors [2][]byte) string {
	best, text := 0, ""
	for _, s := range sectors {
		sum := crc32.ChecksumIEEE(s[4:])
		if s[0] != byte(sum) || s[1] != byte(sum>>8) || s[2] != byte(sum>>16) || s[3] != byte(sum>>24) {
			continue
		}
		seq, rest := 0, ""
		for _, line := range bytes.Split(bytes.TrimRight(s[4:], "\x00"), []byte{0}) {
			if digits, ok := bytes.CutPrefix(line, []byte("seq=")); ok {
				seq, _ = strconv.Atoi(string(digits))
			} else {
				rest += string(line) + " "
			}
		}
		if seq > best {
			best, text = seq, rest
		}
	}
	return text
}

// explore runs op on every start and counts the crash states of which the reader finds neither the
// state before nor after.
func explore(t *testing.T, op func(*disk) error) (states int, wrong []string) {
	t.Helper()
	for _, start := range starts(t) {
		d := &disk{sectors: start}
		if op(d) != nil {
			continue // refused: arming under a trial
		}
		before, after := reader(start), reader(d.sectors)
		for _, s := range crashes(start, d.trace) {
			states++
			if got := reader(s); got == "" || got != before && got != after {
				wrong = append(wrong, fmt.Sprintf("%q, neither %q nor %q", got, before, after))
			}
		}
	}
	return states, wrong
}

// starts returns the disks an operation may find: equal copies, either one newer, either one lost.
func starts(t *testing.T) (out [][2][]byte) {
	for _, r := range all() {
		old := Fresh(r.Active)
		old.Seq, old.Last = r.Seq-1, "older"
		s, o, lost := sector(t, r), sector(t, old), make([]byte, Size)
		out = append(out, [2][]byte{s, s}, [2][]byte{s, o}, [2][]byte{o, s}, [2][]byte{s, lost}, [2][]byte{lost, s})
	}
	return out
}

func TestCrashPoints(t *testing.T) {
	for name, op := range map[string]func(*disk) error{
		"store":     func(d *disk) error { r := Fresh(B); r.Last = "stored"; _, err := Store(d, r); return err },
		"arm a":     func(d *disk) error { _, err := Arm(d, A); return err },
		"arm b":     func(d *disk) error { _, err := Arm(d, B); return err },
		"healthy a": func(d *disk) error { _, err := Healthy(d, A); return err },
		"healthy b": func(d *disk) error { _, err := Healthy(d, B); return err },
		"rollback":  func(d *disk) error { _, err := Rollback(d, "health timeout"); return err },
	} {
		states, wrong := explore(t, op)
		if states < 100 || len(wrong) > 0 {
			t.Errorf("%s: %d of %d crash states are wrong, such as %v", name, len(wrong), states, first(wrong))
		}
	}
}

// The exploration has teeth: orders that look alike and are not safe are found out.
func TestCrashPointsControls(t *testing.T) {
	sectors := func(d *disk) (s []byte, newer int) {
		r := Fresh(B)
		r.Seq, r.Last = 50, "stored"
		_, newer, _ = load(d)
		return sector(t, r), newer
	}
	for name, op := range map[string]func(*disk) error{
		"no flush between the copies": func(d *disk) error {
			s, newer := sectors(d)
			d.WriteAt(s, offsets[1-newer])
			d.WriteAt(s, offsets[newer])
			return d.Flush()
		},
		"the newer copy first": func(d *disk) error {
			s, newer := sectors(d)
			d.WriteAt(s, offsets[newer])
			d.Flush()
			d.WriteAt(s, offsets[1-newer])
			return d.Flush()
		},
		"always copy 0 first": func(d *disk) error {
			s, _ := sectors(d)
			d.WriteAt(s, Copy0)
			d.Flush()
			d.WriteAt(s, Copy1)
			return d.Flush()
		},
		"seq not raised": func(d *disk) error {
			r, newer, _ := load(d)
			r.Last = "stored"
			d.WriteAt(sector(t, r), offsets[newer])
			return d.Flush()
		},
	} {
		if states, wrong := explore(t, op); len(wrong) == 0 {
			t.Errorf("%s: all %d crash states pass", name, states)
		}
	}
}

func armed(d *disk) error {
	if _, err := Healthy(d, A); err != nil {
		return err
	}
	_, err := Arm(d, B)
	return err
}

// After arming, U-Boot rewrites the newer copy at each boot. Whatever that does to it, the
// committed slot is still known.
func TestArmKeepsSafeState(t *testing.T) {
	for _, start := range starts(t) {
		d := &disk{sectors: start}
		if armed(d) != nil {
			continue
		}
		r, newer, err := load(d)
		if err != nil || r.Trial != B || r.Active != A || r.Left != MaxLeft || r.A != Good {
			t.Fatalf("armed: %+v, %v", r, err)
		}
		for _, content := range outcomes(d.sectors[newer], make([]byte, Size))[2:] {
			if bytes.Equal(content, d.sectors[newer]) {
				continue // torn where both are zero
			}
			torn := *d
			torn.sectors[newer] = content
			safe, err := Load(&torn)
			if err != nil || safe.Slot() != A || safe.Trial != "" || safe.A != Good {
				t.Fatalf("after a torn rewrite of the trial: %+v, %v", safe, err)
			}
		}
	}
}

func first(s []string) []string { return s[:min(3, len(s))] }
