package config

import (
	"fmt"
	"path"
	"strconv"
	"strings"
)

// The sizes of zram in bytes. zramAuto is half of the memory of a 1 GB board; boards with more
// hardly swap.
const (
	zramAuto  = 512 << 20
	zramLeast = 1 << 20
	zramAlign = 64 << 10 // a multiple of every page size of arm64
)

// ZramBytes returns the size of the swap in compressed memory on a machine with this many bytes of
// memory (0: not known); 0 for none.
func (m Memory) ZramBytes(memory int64) (int64, error) {
	size := int64(0)
	switch m.Zram {
	case "", "off":
		return 0, nil
	case "auto":
		size = min(memory/2, zramAuto)
	default:
		var err error
		if size, err = strconv.ParseInt(m.Zram, 10, 64); err != nil {
			return 0, fmt.Errorf("%s is not a size", quote(m.Zram))
		}
		if size == 0 {
			return 0, nil
		}
		if memory > 0 && size > 2*memory {
			// Pages that do not compress take their full size.
			return 0, fmt.Errorf("%d MiB are more than twice the memory of the machine, %d MiB", size>>20, memory>>20)
		}
	}
	if size < zramLeast {
		return 0, fmt.Errorf("%d bytes are less than the least size, %d", size, zramLeast)
	}
	return size / zramAlign * zramAlign, nil
}

const (
	noSwap  = "swap on a card or disk is refused: it wears out cards, and a node that swaps to one answers nobody for minutes"
	useZram = "use memory.zram: auto, which swaps to compressed memory"
)

func (k *checker) checkMemory() {
	m := k.c.Memory
	if on, known := Truth(m.Swap); m.Swap != "" && (on || !known) && m.Swap != "0" {
		k.report(Error, "memory.swap", useZram, "%s", noSwap)
	}
	const fix = "write auto, or a size like 256M"
	if m.Zram == "auto" && k.f.Memory == 0 {
		return
	}
	if _, err := m.ZramBytes(k.f.Memory); err != nil {
		k.report(Error, "memory.zram", fix, "%v; there will be no swap", err)
	} else if _, err := m.ZramBytes(k.f.Least); err != nil && k.f.Memory == 0 {
		k.report(Warning, "memory.zram", fix, "%v; there will be no swap on a board with that", err)
	}
}

// swapsTo reports whether a command line makes swap on anything but zram.
func swapsTo(words []string) bool {
	switch path.Base(words[0]) {
	case "mkswap", "swapon", "dphys-swapfile":
		return !strings.Contains(strings.Join(words[1:], " "), "zram")
	}
	return false
}
