package command

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"imgbuild/init/boot/upgrades"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/dialogue"
	"imgbuild/init/contract/diskmap"
	"imgbuild/init/contract/fatfile"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/firmware"
	"imgbuild/init/status"
	"imgbuild/init/status/health"
	"imgbuild/init/upgrade/bootcopy"
	"imgbuild/init/upgrade/install"
	"imgbuild/init/upgrade/medium"
	"imgbuild/qemu/fixtures/testboot"
	"imgbuild/qemu/fixtures/testbundle"
)

// serveFirmware runs both ends of a dialogue about the firmware.
func (m *machine) serveFirmware(data []byte) (done *dialogue.Done, notes []string, err error) {
	upR, upW := io.Pipe()
	downR, downW := io.Pipe()
	node := make(chan error, 1)
	go func() {
		node <- m.place.serveFirmware(m.t.Context(), downR, upW, Options{Config: &config.Config{}})
		upW.Close()
	}()
	l := dialogue.Laptop{Range: func(_ context.Context, off, n int64) (io.ReadCloser, error) {
		return io.NopCloser(io.NewSectionReader(bytes.NewReader(data), off, n)), nil
	}, Receive: func(msg dialogue.Message) {
		if msg.Note != "" {
			notes = append(notes, msg.Note)
		}
	}}
	done, err = l.Serve(m.t.Context(), upR, downW)
	downW.Close()
	upR.Close()
	<-node
	return done, notes, err
}

// A laptop upgrades the firmware of a node: refused unless the node is committed and healthy, then
// written, swapped, and taken back.
func TestFirmware(t *testing.T) {
	m := newMachine(t)
	dir := t.TempDir()
	m.facts.Disk, m.facts.Board = filepath.Join(dir, "disk"), "rpi3"
	own := map[string]string{"config.yaml": "hostname: node\n", "report.txt": strings.Repeat(" ", 4096), "usercfg.txt": "gpu_mem=64\n"}
	old := map[string]string{"boot.scr": testboot.Script("rpi3", "old"), "start.elf": "old"}
	for name, text := range own {
		old[name] = text
	}
	testboot.Write(t, m.facts.Disk, old)
	image := filepath.Join(dir, "new.img")
	testboot.Write(t, image, map[string]string{"boot.scr": testboot.Script("rpi4", "new"), "start.elf": "new", "config.yaml": "# a template\n"})
	f, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data := testbundle.WithFirmware(t, m.new, m.key, 5, f)
	table := func() []byte { return read(t, m.facts.Disk)[:512] }
	first := bytes.Clone(table())

	healthy := status.Status{Health: health.Good}
	for name, spoil := range map[string]func(){
		"not healthy":      func() { m.status = status.Status{Health: health.Bad, Why: []string{"k3s is down"}} },
		"on trial":         func() { m.facts.Trial = true },
		"armed":            func() { m.armed = true },
		"degraded":         func() { m.facts.Degraded = true },
		"another family":   func() { m.facts.Family = "xu4" },
		"another board":    func() { m.facts.Board = "rpi5" },
		"no disk is known": func() { m.facts.Disk = "" },
	} {
		facts := m.facts
		m.status, m.orders = healthy, nil
		spoil()
		_, _, err := m.serveFirmware(data)
		m.facts, m.armed = facts, false
		if err == nil || slices.Contains(m.orders, "reboot") || !bytes.Equal(table(), first) {
			t.Errorf("%s: got %v, orders %v", name, err, m.orders)
		}
	}
	m.status, m.orders = healthy, nil
	if _, _, err := m.serveFirmware(m.data); fault.Code(err) != int(fault.Input) || slices.Contains(m.orders, "reboot") {
		t.Errorf("a bundle without firmware: got %v", err)
	}
	bad := bytes.Clone(data)
	bad[len(bad)-1] ^= 1
	if _, _, err := m.serveFirmware(bad); fault.Code(err) != int(fault.Verify) || !bytes.Equal(table(), first) {
		t.Errorf("a changed byte: got %v", err)
	}

	done, notes, err := m.serveFirmware(data)
	if err != nil || done.Result != dialogue.Armed || !done.Reboot || done.Slot != "second" || !slices.ContainsFunc(notes, func(n string) bool { return strings.Contains(n, "imgbuild firmware DEVICE") }) {
		t.Fatalf("got %+v, %v, notes %q", done, err, notes)
	}
	if want := []string{upgrades.Facts, "status", "reboot"}; !slices.Equal(m.orders[len(m.orders)-3:], want) {
		t.Errorf("orders %v, want %v at the end", m.orders, want)
	}
	d, err := medium.OpenDisk(m.facts.Disk)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if at, err := bootcopy.Booted(d); err != nil || at != firmware.Second {
		t.Errorf("%s boots, %v", at, err)
	}
	boot := io.NewSectionReader(d, diskmap.Spare, diskmap.BootSize)
	want := map[string]string{"boot.scr": testboot.Script("rpi3", "new"), "start.elf": "new"}
	for name, text := range own {
		want[name] = text
	}
	for name, text := range want {
		if got, err := fatfile.ReadFile(boot, name); err != nil || string(got) != text {
			t.Errorf("%s is %.60q, %v", name, got, err)
		}
	}
	m.orders = nil
	if done, _, err := m.serveFirmware(data); err != nil || done.Result != dialogue.Same || done.Reboot || slices.Contains(m.orders, "reboot") {
		t.Errorf("again: got %+v, %v, orders %v", done, err, m.orders)
	}
	m.facts.Trial = true
	if _, err := m.firmwareBack(t.Context()); fault.Code(err) != int(fault.Unhealthy) {
		t.Errorf("back from a trial: got %v", err)
	}
	m.facts.Trial = false
	if done, err := m.firmwareBack(t.Context()); err != nil || !done.Reboot || done.Slot != "first" || !bytes.Equal(table(), first) {
		t.Errorf("back: got %+v, %v", done, err)
	}
}

func TestFirmwareState(t *testing.T) {
	m := bareMachine(t)
	dir := t.TempDir()
	m.facts.Disk, m.facts.Board, m.facts.Running = filepath.Join(dir, "disk"), "rpi4", "/dev/mmcblk0p2"
	testboot.Write(t, m.facts.Disk, map[string]string{"boot.scr": "x"})
	tree, blocks := filepath.Join(dir, "tree"), filepath.Join(dir, "block")
	look := func() string {
		t.Helper()
		s, err := m.firmware(tree, blocks)
		if err != nil {
			t.Fatal(err)
		}
		return s.String()
	}
	if got, want := look(), "board rpi4, BOOT is in the first place"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	m.write(filepath.Join(tree, "chosen/bootloader/build-timestamp"), []byte{0x65, 0xa5, 0x5a, 0x80}) // 2024-01-15 16:16
	m.write(filepath.Join(blocks, "mmcblk0p1/start"), []byte("32768\n"))
	if got, want := look(), "board rpi4, BOOT is in the first place, EEPROM 2024-01-15"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	m.write(filepath.Join(tree, "chosen/bootloader/version"), []byte("30cc5f37\x00"))
	m.write(filepath.Join(blocks, "mmcblk0p1/start"), []byte("262144\n"))
	if got, want := look(), "board rpi4, BOOT is in the first place from the next boot on, EEPROM 30cc5f37 of 2024-01-15"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSound(t *testing.T) {
	good := install.Facts{Running: "a", Target: "b", Disk: "d"}
	if err := sound(good, status.Status{Health: health.Good}); err != nil {
		t.Error(err)
	}
	for _, s := range []health.State{health.Bad, health.Starting, health.Waiting, ""} {
		if err := sound(good, status.Status{Health: s}); fault.Code(err) != int(fault.Unhealthy) {
			t.Errorf("%q: got %v", s, err)
		}
	}
}
