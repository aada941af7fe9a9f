package preinit

import (
	"os"
	"strings"
	"testing"
	"time"

	"imgbuild/init/contract/manifest"
	"imgbuild/init/net/clock"
)

func TestCmdline(t *testing.T) {
	c := ParseCmdline("console=tty0 quiet shelf.disk=1a2b3c4d-01 shelf.slot=b  a=\"b c\" \"d=e f\" x=1 x=2 =y shelf.last=\n")
	for name, want := range map[string]string{"shelf.disk": "1a2b3c4d-01", "shelf.slot": "b", "a": "b c", "d": "e f", "x": "2", "shelf.last": ""} {
		if c[name] != want {
			t.Errorf("%s=%q, want %q", name, c[name], want)
		}
	}
	if _, ok := c["quiet"]; !ok {
		t.Error("a word without a value is lost")
	}
	if _, ok := c[""]; ok {
		t.Error("a value without a name is kept")
	}
}

func FuzzCmdline(f *testing.F) {
	f.Add(`a="b c" d`)
	f.Fuzz(func(t *testing.T, s string) {
		for name := range ParseCmdline(s) {
			if name == "" {
				t.Error("an empty name")
			}
		}
	})
}

func TestWatchdogAllowed(t *testing.T) {
	pi := []string{"raspberrypi,3-model-b", "brcm,bcm2837"}
	for _, c := range []struct {
		cmdline    string
		compatible []string
		marks      bool
		want       bool
	}{
		{"", pi, true, true},
		{"", pi, false, false}, // QEMU's raspi3b: opening the watchdog resets it
		{"shelf.watchdog=off", pi, true, false},
		{"shelf.watchdog=on", pi, true, true},
		{"", []string{"linux,dummy-virt"}, false, true},
		{"", []string{"hardkernel,odroid-xu4", "samsung,exynos5422"}, false, true},
		{"", nil, false, true},
	} {
		got, why := watchdogAllowed(ParseCmdline(c.cmdline), c.compatible, c.marks)
		if got != c.want || got == (why != "") {
			t.Errorf("%+v: %v %q", c, got, why)
		}
	}
}

func TestLatest(t *testing.T) {
	built, wrote := time.Unix(1795219200, 0), time.Unix(1795300000, 0)
	for _, c := range []struct{ give, want []time.Time }{
		{[]time.Time{built, wrote}, []time.Time{wrote}},
		{[]time.Time{wrote, built}, []time.Time{wrote}},
		{[]time.Time{built, {}}, []time.Time{built}},
		{[]time.Time{built, time.Unix(1<<33, 0)}, []time.Time{built}}, // the year 2242: a damaged superblock
		{[]time.Time{built, clock.Farthest()}, []time.Time{built}},
		{nil, []time.Time{{}}},
	} {
		if got := latest(c.give...); !got.Equal(c.want[0]) {
			t.Errorf("%v: %v", c.give, got)
		}
	}
}

func TestMachine(t *testing.T) {
	proc := t.TempDir()
	os.Mkdir(proc+"/device-tree", 0o755)
	os.WriteFile(proc+"/device-tree/compatible", []byte("raspberrypi,4-model-b\x00brcm,bcm2711\x00"), 0o644)
	os.WriteFile(proc+"/device-tree/model", []byte("Raspberry Pi 4 Model B Rev 1.4\x00"), 0o644)
	os.WriteFile(proc+"/meminfo", []byte("MemFree: 1 kB\nMemTotal:        1893316 kB\n"), 0o644)
	if got := strings.Join(Compatible(proc), " "); got != "raspberrypi,4-model-b brcm,bcm2711" {
		t.Errorf("compatible %q", got)
	}
	if got := Model(proc); got != "Raspberry Pi 4 Model B Rev 1.4" {
		t.Errorf("model %q", got)
	}
	if got := Memory(proc); got != 1893316<<10 {
		t.Errorf("memory %d", got)
	}
	if none := t.TempDir(); Compatible(none) != nil || Memory(none) != 0 || Model(none) != "unknown machine" {
		t.Error("something is found in an empty /proc")
	}
}

func TestChecks(t *testing.T) {
	m := &manifest.Manifest{Family: "rpi64", Compatible: []string{"raspberrypi,4-model-b", "linux,dummy-virt"}, MinMemory: 1 << 30}
	if err := checkBoard(m, []string{"raspberrypi,4-model-b", "brcm,bcm2711"}, "Pi"); err != nil {
		t.Error(err)
	}
	err := checkBoard(m, []string{"hardkernel,odroid-xu4"}, "Hardkernel Odroid XU4")
	if err == nil || !strings.Contains(err.Error(), "rpi64") || !strings.Contains(err.Error(), "Hardkernel Odroid XU4") {
		t.Errorf("another board: %v", err)
	}
	for have, ok := range map[int64]bool{1 << 30: true, 950 << 20: true, 700 << 20: false, 0: true} {
		if err := EnoughMemory(m, have); (err == nil) != ok {
			t.Errorf("%d MiB: %v", have>>20, err)
		}
	}
}
