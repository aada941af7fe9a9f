package agent

import (
	"os"
	"reflect"
	"testing"
)

func TestFileMappings(t *testing.T) {
	got := fileMappings(`00010000-00800000 r-xp 00000000 fe:00 12  /usr/bin/shelf
00800000-00e00000 r--p 007f0000 fe:00 12                   /usr/bin/shelf
00e00000-00e80000 rw-p 00df0000 fe:00 12                   /usr/bin/shelf
4000000000-4000400000 rw-p 00000000 00:00 0
ffff80000000-ffff80001000 r-xp 00000000 00:00 0            [vdso]
ffff80002000-ffff80001000 r-xp 00000000 fe:00 12           /usr/bin/shelf
x-y r-xp 00000000 fe:00 12                                 /usr/bin/shelf
ffff90000000-ffff90001000 r-xp 00000000 fe:00 13           /usr/lib/libc.so.6
`, "/usr/bin/shelf")
	if want := [][2]uintptr{{0x10000, 0x800000}, {0x800000, 0xe00000}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
}

// The program goes on after its pages were given back, and some were.
func TestGiveBack(t *testing.T) {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if len(fileMappings(string(maps), exe)) == 0 {
		t.Fatalf("no mapping of %s in\n%s", exe, maps)
	}
	if err := giveBack(); err != nil {
		t.Fatal(err)
	}
}
