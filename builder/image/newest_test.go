package image

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"imgbuild/init/contract/fault"
)

func TestNewest(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out [1]*")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if got, err := Newest(dir, "rpi4", "worker"); fault.Code(err) != int(fault.Input) {
		t.Errorf("nothing is there: got %q, %v, want a fault of kind Input", got, err)
	}
	for name, age := range map[string]time.Duration{"rpi4-worker-3.img": 3, "rpi4-worker-1.img": 1, "rpi4-worker-2.img": 2, "rpi4-server-0.img": 0, "rpi4-worker-0.img.zst": 0} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		when := time.Unix(1800000000, 0).Add(-age * time.Hour)
		if err := os.Chtimes(file, when, when); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "rpi4-worker-4.img"), 0o755); err != nil {
		t.Fatal(err)
	}
	want := filepath.Join(dir, "rpi4-worker-1.img")
	if got, err := Newest(dir, "rpi4", "worker"); err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}
