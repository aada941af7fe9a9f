package vm

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imgbuild/init/contract/fault"
)

// A kept disk is made once, is never half there, and has one user.
func TestKeep(t *testing.T) {
	dir := t.TempDir()
	image, name := filepath.Join(dir, "node.img"), filepath.Join(dir, "out", "a.disk")
	if err := os.WriteFile(image, []byte("first"), 0o600); err != nil {
		t.Fatal(err)
	}
	k, err := Keep(name)
	if err != nil || !k.Fresh {
		t.Fatalf("got %+v, %v, want a disk that is to be filled", k, err)
	}
	if _, err := Keep(name); fault.Code(err) != int(fault.Usage) {
		t.Errorf("a second user: got %v, want a fault of kind Usage", err)
	}
	if err := os.WriteFile(name+".part", []byte("of a run that was killed"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := k.Fill(filepath.Join(dir, "absent"), 100); fault.Code(err) != int(fault.Device) {
		t.Errorf("without an image: got %v", err)
	}
	if _, err := os.Stat(name); err == nil {
		t.Error("there is a disk after an error")
	}
	if err := k.Fill(image, 100); err != nil {
		t.Fatal(err)
	}
	k.Close()
	k, err = Keep(name)
	if err != nil || k.Fresh {
		t.Fatalf("got %+v, %v, want the disk that is there", k, err)
	}
	defer k.Close()
	if data, err := os.ReadFile(name); err != nil || len(data) != 100 || !strings.HasPrefix(string(data), "first") {
		t.Errorf("got %d bytes, %v, want the image in 100", len(data), err)
	}
}
