package upgrade

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"imgbuild/init/contract/diskmap"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/firmware"
	"imgbuild/qemu/fixtures/testboot"
)

// With firmware=yes one node commits its system first, then gets the firmware, and is waited for.
func TestFirmware(t *testing.T) {
	o, nodes, j, out := laptop(t, "one=worker")
	o.Firmware = true
	if err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if got, want := j.String(), "one: write, one: arm, one: reboot, one: committed, one: firmware"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if nodes[0].looks < 3 || !strings.Contains(out.String(), "boots with the firmware of") {
		t.Errorf("it was looked at %d times, and not waited for", nodes[0].looks)
	}
	if err := Run(t.Context(), o); err != nil || !strings.Contains(out.String(), "is there already") {
		t.Errorf("again: %v", err)
	}
	if strings.Contains(out.String(), "is not here") {
		t.Errorf("a delta is looked for, which firmware has not: %s", out)
	}

	o, nodes, j, _ = laptop(t, "one=worker")
	o.Firmware, nodes[0].noBoot = true, fault.New(fault.Unhealthy, "see shelf status", "the node is not healthy")
	if err := Run(t.Context(), o); fault.Code(err) != int(fault.Unhealthy) || strings.Contains(j.String(), "firmware") {
		t.Errorf("refused: got %v, %s", err, j)
	}

	o, nodes, _, _ = laptop(t, "one=worker")
	o.Firmware, nodes[0].lost, o.Limit = true, true, 20*time.Second
	if err := Run(t.Context(), o); fault.Code(err) != int(fault.Unhealthy) || !strings.Contains(err.Error(), "imgbuild firmware DEVICE") {
		t.Errorf("it does not come back: got %v", err)
	}

	// A trial that never ends is not a success either.
	o, nodes, _, _ = laptop(t, "one=worker")
	nodes[0].asked, o.Limit = -1<<30, 5*time.Second
	if err := Run(t.Context(), o); fault.Code(err) != int(fault.Unhealthy) {
		t.Errorf("a trial without an end: got %v", err)
	}

	o, nodes, j, _ = laptop(t, "one=worker")
	o.Firmware, nodes[0].result = true, "no network"
	if err := Run(t.Context(), o); fault.Code(err) != int(fault.Unhealthy) || strings.Contains(j.String(), "firmware") {
		t.Errorf("rolled back: got %v, %s", err, j)
	}

	o, _, j, _ = laptop(t, "one=worker", "two=worker")
	o.Firmware = true
	if err := Run(t.Context(), o); fault.Code(err) != int(fault.Usage) || j.String() != "" {
		t.Errorf("two nodes: got %v, %s", err, j)
	}
}

// A card is swapped only if there is another firmware on it; twice is as before.
func TestSwapCard(t *testing.T) {
	card := filepath.Join(t.TempDir(), "card.img")
	testboot.Write(t, card, map[string]string{"boot.scr": testboot.Script("rpi4", "")})
	first := sector(t, card)
	if to, err := SwapCard(card); fault.Code(err) != int(fault.Input) || sector(t, card) != first {
		t.Errorf("one BOOT: got %s, %v", to, err)
	}
	f, err := os.OpenFile(card, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	boot := make([]byte, 32<<20)
	if _, err := f.ReadAt(boot, diskmap.Boot); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(boot, diskmap.Spare); err != nil {
		t.Fatal(err)
	}
	for _, want := range []firmware.Place{firmware.Second, firmware.First} {
		if to, err := SwapCard(card); err != nil || to != want {
			t.Errorf("got %s, %v, want %s", to, err, want)
		}
	}
	if sector(t, card) != first {
		t.Error("swapped twice it has another table")
	}
	for name, text := range map[string]string{"text": strings.Repeat("x", 5000), "short": "x"} {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := SwapCard(file); err == nil {
			t.Errorf("%s: taken for a card", name)
		}
		if got, err := os.ReadFile(file); err != nil || string(got) != text {
			t.Errorf("%s was changed, %v", name, err)
		}
	}
}

func sector(t *testing.T, name string) string {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 512)
	if _, err := f.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	return string(b)
}
