package firmware

import (
	"bytes"
	"strings"
	"testing"

	"imgbuild/init/contract/diskmap"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/mbr"
)

func TestCheck(t *testing.T) {
	sum := strings.Repeat("5", 64)
	good := []File{{Path: "boot.scr", Board: "rpi3", Size: 9, SHA256: sum}, {Path: "boot.scr", Board: "rpi4", Size: 7, SHA256: sum}, {Path: "overlays/README", Size: 1, SHA256: sum}, {Path: "start.elf", Size: MaxSize - 17, SHA256: sum}}
	if err := Check(good); err != nil || Size(good) != MaxSize {
		t.Errorf("got %v, %d bytes", err, Size(good))
	}
	for name, spoil := range map[string]func(f []File) []File{
		"a path upward":              func(f []File) []File { f[2].Path = "../x"; return f },
		"an absolute path":           func(f []File) []File { f[2].Path = "/x"; return f },
		"no path":                    func(f []File) []File { f[0].Path = ""; return f },
		"the user's":                 func(f []File) []File { f[0].Path, f[0].Board = "Config.YAML", ""; return f },
		"a part of the user's":       func(f []File) []File { f[2].Path = "config.d/x.yaml"; return f },
		"no sum":                     func(f []File) []File { f[1].SHA256 = ""; return f },
		"a sum in capitals":          func(f []File) []File { f[1].SHA256 = strings.Repeat("A", 64); return f },
		"no bytes":                   func(f []File) []File { f[1].Size = 0; return f },
		"a byte too many":            func(f []File) []File { f[1].Size++; return f },
		"another order":              func(f []File) []File { f[0], f[1] = f[1], f[0]; return f },
		"twice":                      func(f []File) []File { f[1] = f[0]; return f },
		"for all and for one":        func(f []File) []File { f[0].Board = ""; return f },
		"twice, except for capitals": func(f []File) []File { f[1].Path, f[0].Path = "boot.scr", "Boot.scr"; return f },
		"too many":                   func(f []File) []File { return make([]File, MaxFiles+1) },
	} {
		if err := Check(spoil(append([]File(nil), good...))); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	list, ok := For(good, "rpi4")
	if !ok || len(list) != 3 || list[0].Off != 9 || list[0].Board != "rpi4" || list[1].Off != 16 || list[2].Off != 17 {
		t.Errorf("for rpi4: %v, %v", list, ok)
	}
	if list, ok := For(good, "rpi5"); ok || len(list) != 2 {
		t.Errorf("for rpi5: %v, %v", list, ok)
	}
}

// TestSwap: only the place of partition 1 changes, and twice is as before.
func TestSwap(t *testing.T) {
	table := mbr.Table{Signature: 5, Partitions: [4]mbr.Partition{{Start: diskmap.Boot / 512, Sectors: diskmap.BootSize / 512, Type: diskmap.TypeBoot, Active: true},
		{Start: diskmap.SlotA / 512, Sectors: diskmap.SlotSize / 512, Type: diskmap.TypeSlot}}}
	first, err := table.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	copy(first[:], "boot code of a board")
	swapped, err := Swap(first[:])
	if err != nil {
		t.Fatal(err)
	}
	if at, err := Booted(swapped); err != nil || at != Second {
		t.Errorf("got %s, %v", at, err)
	}
	if !bytes.Equal(swapped[:446], first[:446]) || !bytes.Equal(swapped[462:], first[462:]) || swapped[446] != 0x80 || swapped[450] != diskmap.TypeBoot {
		t.Error("more than the place has changed")
	}
	if again, err := Swap(swapped); err != nil || !bytes.Equal(again, first[:]) {
		t.Errorf("twice gives another sector, %v", err)
	}
	for name, change := range map[string]func(b []byte) []byte{
		"no table": func([]byte) []byte { return make([]byte, 512) },
		"elsewhere": func(b []byte) []byte {
			return mbr.Set(b, 1, mbr.Partition{Start: 2048, Sectors: diskmap.BootSize / 512, Type: diskmap.TypeBoot})
		},
		"shorter": func(b []byte) []byte {
			return mbr.Set(b, 1, mbr.Partition{Start: diskmap.Boot / 512, Sectors: 4096, Type: diskmap.TypeBoot})
		},
		"Linux": func(b []byte) []byte {
			return mbr.Set(b, 1, mbr.Partition{Start: diskmap.Boot / 512, Sectors: diskmap.BootSize / 512, Type: mbr.Linux})
		},
		"both taken": func(b []byte) []byte {
			return mbr.Set(b, 3, mbr.Partition{Start: diskmap.Spare / 512, Sectors: 4096, Type: mbr.Linux})
		},
		"half a sector": func(b []byte) []byte { return b[:100] },
	} {
		if out, err := Swap(change(bytes.Clone(first[:]))); fault.Code(err) != int(fault.Device) || out != nil {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
