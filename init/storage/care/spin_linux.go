package care

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// spinEvery is how often requests are counted.
const spinEvery = 30 * time.Second

// spin stops disks that nobody uses, and never returns before ctx ends. Only those of the
// configuration that turn are looked at.
func (k *Keeper) spin(ctx context.Context) {
	seen, refused, began := map[string]*Spin{}, map[string]bool{}, time.Now()
	tick := time.NewTicker(spinEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		k.mu.Lock()
		var list []Disk
		for _, s := range k.states {
			if s.disk.Spindown > 0 && s.Doing == "" {
				list = append(list, s.disk)
			}
		}
		k.mu.Unlock()
		for _, d := range list {
			for _, path := range d.Paths {
				name := filepath.Base(path)
				count, ok := countOf(name)
				if !ok || refused[name] {
					continue
				}
				if seen[name] == nil {
					seen[name] = &Spin{}
				}
				if seen[name].Look(count, time.Since(began), d.Spindown) {
					if err := stop(path); err != nil {
						refused[name] = true
						k.Say("disk %s: %s cannot be stopped: %v", d.Name, path, err)
					}
				}
				k.resting(d.Name, path, seen[name].Stopped() && !refused[name])
			}
		}
	}
}

// resting notes whether a device of a disk is stopped.
func (k *Keeper) resting(disk, path string, yes bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.states[disk]
	s.Resting = slices.DeleteFunc(slices.Clone(s.Resting), func(p string) bool { return p == path })
	if yes {
		s.Resting = append(s.Resting, path)
	}
}

// countOf is the count of a turning disk's requests; false for one that does not turn.
func countOf(name string) (uint64, bool) {
	dir := filepath.Join("/sys/block", name)
	turns, _ := os.ReadFile(filepath.Join(dir, "queue/rotational"))
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil || strings.TrimSpace(string(turns)) != "1" {
		return 0, false
	}
	return requests(string(stat))
}

// sgIO is struct sg_io_hdr of include/scsi/sg.h.
type sgIO struct {
	id, direction      int32
	length, senseLimit uint8
	vectors            uint16
	dataLength         uint32
	data, cmd, sense   unsafe.Pointer
	timeout, flags     uint32 // timeout in ms
	pack               int32
	user               unsafe.Pointer
	status, masked     uint8
	message, written   uint8
	host, driver       uint16
	resid              int32
	duration, info     uint32
}

// stop has a disk write its cache and stop turning: SYNCHRONIZE CACHE (10), START STOP UNIT
// (SBC-4). The next request starts it.
func stop(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for _, cmd := range [][]byte{{0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0}, {0x1b, 0, 0, 0, 0, 0}} {
		var sense [32]byte
		const sg, none = 0x2285, -1
		h := sgIO{id: 'S', direction: none, length: uint8(len(cmd)), senseLimit: uint8(len(sense)), cmd: unsafe.Pointer(&cmd[0]), sense: unsafe.Pointer(&sense[0]), timeout: 30000}
		_, _, no := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), sg, uintptr(unsafe.Pointer(&h)))
		runtime.KeepAlive(cmd)
		if no != 0 {
			return no
		}
		if h.status != 0 || h.host != 0 {
			return errors.New("it does not take the order")
		}
	}
	return nil
}
