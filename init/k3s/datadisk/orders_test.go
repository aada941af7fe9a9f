package datadisk

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"imgbuild/init/contract/fault"
)

// Data are moved only where a disk is named that they are not on yet; a refusal leaves no note,
// which would move them some other day.
func TestOrderMove(t *testing.T) {
	note := filepath.Join(t.TempDir(), "data-move")
	for _, c := range []struct{ device, used string }{{"", ""}, {"", "/dev/sda1"}, {"LABEL=k3sdata", "/dev/sda1"}} {
		if err := orderMove(note, c.device, c.used); fault.Code(err) != int(fault.Usage) {
			t.Errorf("%+v: got %v, want a fault of kind Usage", c, err)
		}
		if _, err := os.Stat(note); err == nil {
			t.Errorf("%+v: a note is left", c)
		}
	}
	if err := orderMove(note, "LABEL=k3sdata", ""); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(note); err != nil || info.Mode() != 0o600 {
		t.Errorf("got the note %v, %v, want mode 0600", info, err)
	}
}

func TestForgetDisk(t *testing.T) {
	known := filepath.Join(t.TempDir(), "data-disk")
	if err := forgetDisk(known); fault.Code(err) != int(fault.Usage) {
		t.Errorf("no disk: got %v, want a fault of kind Usage", err)
	}
	if err := os.WriteFile(known, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := forgetDisk(known); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(known); err == nil {
		t.Error("the disk is still known")
	}
	if err := asRoot(fs.ErrPermission); fault.Code(err) != int(fault.Usage) {
		t.Errorf("got %v, want a fault of kind Usage", err)
	}
}
