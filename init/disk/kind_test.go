package disk

import "testing"

func TestKindOf(t *testing.T) {
	for name, want := range map[string]Kind{
		"mmcblk0": Plain, "mmcblk0p4": Plain, "sda": Plain, "sdb1": Plain, "vda": Plain, "nvme0n1": Plain, "mmcblk0boot0": BootArea, "mmcblk1boot1": BootArea,
		"loop0": Virtual, "ram3": Virtual, "zram0": Virtual, "dm-0": Virtual, "nbd1": Virtual, "mtdblock0": Virtual, "sr0": Optical, "md0": Array, "md127": Array,
	} {
		if got := KindOf(name); got != want {
			t.Errorf("%s: got %d, want %d", name, got, want)
		}
	}
}
