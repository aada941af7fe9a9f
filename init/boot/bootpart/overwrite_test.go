package bootpart

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imgbuild/init/contract/fat"
	"imgbuild/init/contract/fatfile"
)

// The file has the new text and its old length; nothing else on the device changes its place.
func TestOverwrite(t *testing.T) {
	dir := t.TempDir()
	device := filepath.Join(dir, "boot")
	const size = 4096
	v := fat.Volume{Label: "BOOT", ID: 7, Size: 64 << 20, ClusterSize: 512, Files: []fat.File{{Path: "report.txt", Size: size, Open: func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(strings.Repeat("\n", size))), nil
	}}}}
	f, err := os.Create(device)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(v.Size); err != nil {
		t.Fatal(err)
	}
	if err := v.Write(f); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"a long report\n", "short\n"} {
		if err := Overwrite(device, dir, "report.txt", []byte(text), '\n'); err != nil {
			t.Fatal(err)
		}
		got, err := fatfile.ReadFile(f, "report.txt")
		if err != nil || string(got) != text+strings.Repeat("\n", size-len(text)) {
			t.Errorf("got %q, %v", strings.TrimRight(string(got), "\n"), err)
		}
	}
	if err := Overwrite(device, dir, "none.txt", []byte("x"), '\n'); err == nil {
		t.Error("a file that is not there was written")
	}
	if err := Overwrite(filepath.Join(dir, "none"), dir, "report.txt", []byte("x"), '\n'); err == nil {
		t.Error("a device that is not there was written")
	}
}
