package bundle

import (
	"errors"
	"fmt"
	"testing"

	"imgbuild/qemu/fixtures/testslot"
)

// disk is a device in memory. Reads after its end give zeros.
type disk struct {
	data []byte
	fail int // writes until they fail; negative for never
	hits int // writes so far
}

var errDisk = errors.New("the disk is broken")

func (d *disk) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	if off < int64(len(d.data)) {
		copy(p, d.data[off:])
	}
	return len(p), nil
}

func (d *disk) WriteAt(p []byte, off int64) (int, error) {
	if d.fail == 0 {
		return 0, errDisk
	}
	d.fail--
	d.hits++
	if end := int(off) + len(p); end > len(d.data) {
		d.data = append(d.data, make([]byte, end-len(d.data))...)
	}
	return copy(d.data[off:], p), nil
}

type version = testslot.Version

var made = map[string]*disk{}

// makeSlot makes a slot once; nobody may write to it.
func makeSlot(t testing.TB, v version) *disk {
	t.Helper()
	key := fmt.Sprint(v)
	if made[key] == nil {
		made[key] = &disk{fail: -1, data: testslot.New(t, v)}
	}
	return made[key]
}
