package boards

import (
	"fmt"
	"slices"
	"strings"
)

// Guarantee is, for a part of a board, what writes it on a node that runs, and what happens when
// that part fails.
type Guarantee struct {
	Part    string `json:"part"`
	Written string `json:"written,omitempty"`
	Failure string `json:"failure"`
}

// Common returns what holds for all boards.
func Common() []Guarantee {
	return []Guarantee{
		{
			"slots", "written by an upgrade, the one that is not running",
			"a new system that does not start or is not healthy in time is left for the one before, without help",
		},
		{
			"BOOT", "written by `shelf firmware upgrade` alone, the copy that is not in use",
			"firmware or a U-Boot that does not start: take the card out and run `imgbuild firmware` on a laptop",
		},
		{
			"a hang of firmware, U-Boot or kernel before PID 1 runs", "",
			"needs a power cycle; an attempt that U-Boot began counts, and after the last one it takes the other slot",
		},
	}
}

// Guarantees returns what holds for this board besides what is common to all.
func (b *Board) Guarantees(f *Family) []Guarantee {
	var list []Guarantee
	if dogs := watchdogs(f); len(dogs) > 0 {
		list = append(list, Guarantee{"a hang later on", "", "the watchdog (" + strings.Join(dogs, ", ") + ") resets the board"})
	} else {
		list = append(list, Guarantee{"a hang later on", "", "no watchdog: it needs a power cycle"})
	}
	if n := len(f.Raw); n > 0 {
		last := f.Raw[0]
		for _, r := range f.Raw {
			if r.Sector > last.Sector {
				last = r
			}
		}
		list = append(list, Guarantee{
			fmt.Sprintf("boot blobs in sectors %d to %d", f.Raw[0].Sector, last.Sector+last.Sectors-1),
			"never written by a node, only when the card is flashed", "flash the card",
		})
	}
	if b.EEPROM {
		list = append(list, Guarantee{
			"EEPROM of the bootloader", "never written by a node; `shelf firmware` shows its version",
			"Raspberry Pi Imager writes a card that restores it",
		})
	}
	return list
}

// watchdogs returns the drivers of watchdogs that /init loads before anything else.
func watchdogs(f *Family) (list []string) {
	for _, m := range f.Kernel.Initramfs {
		if strings.HasSuffix(m, "_wdt") {
			list = append(list, m)
		}
	}
	if len(list) == 0 && slices.Contains(f.Kernel.Initramfs, "i6300esb") { // QEMU's
		list = append(list, "i6300esb")
	}
	return list
}
