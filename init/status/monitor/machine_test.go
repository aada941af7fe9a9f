package monitor

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// tree makes files below a directory: path and content in turn. A content that begins with -> is a
// link.
func tree(t *testing.T, files ...string) string {
	t.Helper()
	root := t.TempDir()
	for i := 0; i+1 < len(files); i += 2 {
		path := filepath.Join(root, files[i])
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, ok := strings.CutPrefix(files[i+1], "->"); ok {
			err = os.Symlink(target, path)
		} else {
			err = os.WriteFile(path, []byte(files[i+1]+"\n"), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestRead(t *testing.T) {
	on, off := true, false
	for name, c := range map[string]struct {
		files []string
		want  Machine
	}{
		"nothing": {nil, Machine{}},
		"a Pi with Debian's kernel": {
			[]string{"class/thermal/thermal_zone0/temp", "47712", "class/thermal/thermal_zone0/type", "cpu-thermal", "class/hwmon/hwmon0/name", "cpu_thermal", "block/mmcblk0/device/name", "SC16G"},
			Machine{Zones: []Zone{{"thermal_zone0", "cpu-thermal", 47.712}}},
		},
		"a Pi with the driver for its supply": {
			[]string{"class/hwmon/hwmon0/name", "cpu_thermal", "class/hwmon/hwmon1/name", "rpi_volt", "class/hwmon/hwmon1/in0_lcrit_alarm", "1"},
			Machine{UnderVoltage: &on},
		},
		"a Pi with its maker's kernel": {
			[]string{"devices/platform/soc/soc:firmware/get_throttled", "50005", "class/hwmon/hwmon1/name", "rpi_volt", "class/hwmon/hwmon1/in0_lcrit_alarm", "0"},
			Machine{UnderVoltage: &on, UnderVoltageSeen: &on, Throttled: []Throttle{{"undervoltage", true}, {"limit", false}, {"heat", false}}},
		},
		"the same, well fed and hot": {
			[]string{"devices/platform/soc/soc:firmware/get_throttled", "0x8"},
			Machine{UnderVoltage: &off, UnderVoltageSeen: &off, Throttled: []Throttle{{"undervoltage", false}, {"limit", false}, {"heat", true}}},
		},
		"a zone bound to the frequency, and a fan": {
			[]string{"class/thermal/thermal_zone0/temp", "90000", "class/thermal/thermal_zone0/type", "cpu0-thermal", "class/thermal/thermal_zone0/cdev0", "->../cooling_device0",
				"class/thermal/thermal_zone0/cdev0_trip_point", "1", "class/thermal/thermal_zone0/cdev1", "->../cooling_device1",
				"class/thermal/cooling_device0/type", "pwm-fan", "class/thermal/cooling_device0/cur_state", "3",
				"class/thermal/cooling_device1/type", "cpufreq-cpu0", "class/thermal/cooling_device1/cur_state", "0"},
			Machine{Zones: []Zone{{"thermal_zone0", "cpu0-thermal", 90}}, Throttled: []Throttle{{"heat", false}}},
		},
		"an eMMC": {
			[]string{"block/mmcblk1/device/life_time", "0x01 0x0b", "block/mmcblk1/device/pre_eol_info", "0x02", "block/mmcblk1boot0/device/life_time", "0x01 0x01"},
			Machine{Wear: []Wear{{"mmcblk1", []Life{{"a", 10}, {"b", 110}}, 2}}},
		},
		"an eMMC that does not know": {[]string{"block/mmcblk1/device/life_time", "0x00 0x00", "block/mmcblk1/device/pre_eol_info", "0x00"}, Machine{}},
		"nonsense": {
			[]string{"class/thermal/thermal_zone0/temp", "hot", "block/mmcblk1/device/life_time", "0xff x", "devices/platform/soc/soc:firmware/get_throttled", "?", "class/hwmon/hwmon1/name", "rpi_volt", "class/hwmon/hwmon1/in0_lcrit_alarm", "?"},
			Machine{},
		},
	} {
		if got := Read(tree(t, c.files...)); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestTally(t *testing.T) {
	tally := &Tally{}
	tally.Add(1000, noon, 30*time.Second) // the boot
	if tally.Total != 512000 {
		t.Errorf("the boot's own writes are not counted: %d, want 512000", tally.Total)
	}
	if _, ok := tally.PerDay(); ok {
		t.Error("half a minute is enough for an average")
	}
	now := noon
	for range 24 * 60 {
		now = now.Add(time.Minute)
		tally.Add(tally.last+120, now, 0) // 1 KiB a second
	}
	if perDay, ok := tally.PerDay(); !ok || perDay < 86400*1024*0.99 || perDay > 86400*1024*1.02 {
		t.Errorf("%v a day", perDay)
	}
	total := tally.Total
	tally.Add(5, now.Add(time.Minute), 0)
	if tally.Total != total {
		t.Errorf("a counter that went back counts: got %v, want %v", tally.Total, total)
	}

	// Over a reboot.
	again, err := parseTally(tally.text())
	if err != nil || again.Total != total {
		t.Fatal(again, err)
	}
	if n := len(tally.text()); n > 50 {
		t.Errorf("%d bytes do not fit into an inode next to the rest", n)
	}
	again.Add(2, now, time.Second)
	if again.Total != total+1024 {
		t.Errorf("after a reboot: %d: got %v, want %v", again.Total-total, again.Total, total+1024)
	}
	// A month of silence.
	for range 31 * 24 {
		now = now.Add(time.Hour)
		again.Add(2, now, 0)
	}
	if perDay, _ := again.PerDay(); again.Watched != window || perDay > 86400*1024/50 {
		t.Errorf("an old burst weighs %v a day after a month; watched %v", perDay, again.Watched)
	}
}

func TestTallyKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clock")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := Load(path); err != nil || got.Total != 0 {
		t.Fatal(got, err)
	}
	if err := (&Tally{Total: 77, Watched: time.Hour, Rate: 3}).Save(path); err != nil {
		t.Fatal(err)
	}
	// A file system without attributes keeps nothing, which is not an error.
	if got, err := Load(path); err != nil || got.Total != 77 && got.Total != 0 {
		t.Error(got, err)
	}
	if got, err := Load(path + "x"); err != nil || got.Total != 0 {
		t.Error(got, err)
	}
}

func FuzzTally(f *testing.F) {
	f.Add("1 2 3")
	f.Add("-1 2 3")
	f.Add("18446744073709551615 2147483647 1e9")
	f.Fuzz(func(t *testing.T, s string) {
		tally, err := parseTally(s)
		if err == nil && (tally.Watched < 0 || tally.Watched > window) {
			t.Errorf("%q: %+v", s, tally)
		}
		tally.Add(1, noon, time.Second)
		if again, err := parseTally(tally.text()); err != nil || again.Total != tally.Total {
			t.Errorf("%q: %v, %v", s, tally, err)
		}
	})
}

func TestSectors(t *testing.T) {
	sys := tree(t, "block/vda/stat", "  9123  0 1 2 77 0 4242 1 0 1 2 0 0 0 0 0 0", "block/vdb/stat", "1 2 3")
	if n, err := Sectors(sys, "vda"); err != nil || n != 4242 {
		t.Errorf("got %v, %v, want 4242", n, err)
	}
	for _, disk := range []string{"vdb", "vdc"} {
		if _, err := Sectors(sys, disk); err == nil {
			t.Error(disk)
		}
	}
}

func TestGroups(t *testing.T) {
	root := tree(t, "init/memory.current", "100", "init/cpu.stat", "usage_usec 2500000\nuser_usec 1\n", "shelf/cgroup.procs", "",
		"shelf/sshd/memory.current", "200", "shelf/sshd/memory.max", "max", "shelf/sshd/pids.current", "3", "shelf/k3s/memory.max", "4096", "kubepods/memory.current", "300")
	list := Groups(root)
	var names []string
	for _, u := range list {
		names = append(names, u.Name)
	}
	if want := []string{"init", "k3s", "sshd", "/kubepods"}; !reflect.DeepEqual(names, want) {
		t.Fatalf("%v, want %v", names, want)
	}
	if *list[0].Memory != 100 || *list[0].CPU != 2.5 || *list[1].Limit != 4096 || list[2].Limit != nil || *list[2].Tasks != 3 || list[3].CPU != nil {
		t.Errorf("%+v", list)
	}
}
