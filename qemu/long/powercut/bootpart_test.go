package powercut

import (
	"testing"

	"imgbuild/init/upgrade/slot"
)

// TestBootPart: whatever is lost while a file of BOOT is rewritten in place, or while sector 0 is
// written, BOOT's other files are whole; only sector 0 itself is excepted, and counted.
func TestBootPart(t *testing.T) {
	r, err := RunBoot(t.Context(), 1, func(s string) { t.Log(s) })
	if err != nil {
		t.Fatal(err)
	}
	t.Log(r)
	if r.Wrong != 0 || r.States < 50 || r.Excepted == 0 {
		t.Errorf("got %s: %q", r, r.Examples)
	}
}

// TestBootPartControl: files that are rewritten in place next to the boot files are found out.
func TestBootPartControl(t *testing.T) {
	old := bootFiles
	defer func() { bootFiles = old }()
	bootFiles = append(old[:0:0], old...)
	for i := range bootFiles {
		bootFiles[i].apart = false
	}
	r, err := RunBoot(t.Context(), 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.Wrong == 0 {
		t.Errorf("the loss of an area with boot files is not found: %s", r)
	}
}

// lying returns from a flush before anything is on the medium.
type lying struct{ *Disk }

func (lying) Flush() error { return nil }

// TestFirmwareControl: a firmware upgrade on a disk that does not flush is found out.
func TestFirmwareControl(t *testing.T) {
	old := device
	defer func() { device = old }()
	device = func(d *Disk) slot.Device { return lying{d} }
	r, err := RunBoot(t.Context(), 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.Wrong == 0 {
		t.Errorf("a firmware upgrade without flushes is not found: %s", r)
	}
}
