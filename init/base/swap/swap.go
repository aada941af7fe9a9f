// Package swap gives a node swap space in compressed memory (zram). Swap on a card or disk is not
// supported: a card wears out by it, and a node that swaps to a card answers nobody for minutes.
package swap

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// header returns the first page of a swap area of size bytes, as mkswap(8) writes it: format 1, no
// bad pages. Source: union swap_header of include/linux/swap.h.
func header(size int64, page int) ([]byte, error) {
	last := size/int64(page) - 1
	if last < 1 || last > 1<<32-1 {
		return nil, fmt.Errorf("a swap area of %d bytes has no valid number of pages", size)
	}
	b := make([]byte, page)
	binary.NativeEndian.PutUint32(b[1024:], 1)
	binary.NativeEndian.PutUint32(b[1028:], uint32(last))
	copy(b[1052:1068], "zram")
	copy(b[page-10:], "SWAPSPACE2")
	return b, nil
}

// Area is a swap area in use.
type Area struct {
	Device   string `json:"device"` // "/dev/zram0"
	Size     int64  `json:"size"`   // bytes
	Used     int64  `json:"used"`   // bytes, before compression
	Memory   int64  `json:"memory"` // bytes that the used ones take in memory; 0 if it is not zram
	Priority int    `json:"priority"`
}

// Areas reads the areas in use below root.
func Areas(root string) []Area {
	data, _ := os.ReadFile(filepath.Join(root, "proc/swaps"))
	var list []Area
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) != 5 {
			continue
		}
		a := Area{Device: f[0]}
		size, err1 := strconv.ParseInt(f[2], 10, 64)
		used, err2 := strconv.ParseInt(f[3], 10, 64)
		priority, err3 := strconv.Atoi(f[4])
		if err1 != nil || err2 != nil || err3 != nil {
			continue // the headings
		}
		a.Size, a.Used, a.Priority = size<<10, used<<10, priority
		if name := filepath.Base(a.Device); strings.HasPrefix(name, "zram") {
			stat, _ := os.ReadFile(filepath.Join(root, "sys/block", name, "mm_stat"))
			if f := strings.Fields(string(stat)); len(f) > 2 {
				a.Memory, _ = strconv.ParseInt(f[2], 10, 64)
			}
		}
		list = append(list, a)
	}
	return list
}

// state is what a change is decided by.
type state struct {
	want      int64 // bytes; 0 for none
	device    int64 // size of the device, 0 if it has none
	active    bool  // the kernel swaps to it
	ours      bool  // because we asked for it
	used      int64 // bytes that are swapped out to it
	available int64 // bytes of memory that are free
}

// change is what has to be done to have the wanted size.
type change int

const (
	keep    change = iota
	start          // there is none
	stop           // none is wanted
	resize         // another one is wanted
	later          // what is swapped out does not fit into memory: at the next boot
	foreign        // the device is in use, and not by us
)

// decide compares what there is with what is wanted. Ending an area brings its pages back into
// memory, and where that is short the kernel kills processes.
func decide(s state) change {
	switch {
	case s.want == 0 && !(s.active && s.ours):
		return keep
	case !s.ours && (s.active || s.device != 0):
		return foreign
	case !s.active:
		return start
	case s.device == s.want:
		return keep
	case s.used > s.available/2:
		return later
	case s.want == 0:
		return stop
	}
	return resize
}
