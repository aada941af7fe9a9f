package image

import (
	"bytes"
	"testing"

	"imgbuild/builder/initramfs"
)

// The init that the builds carry is within its limits. modules is the space for those that a
// board's initramfs has next to it; a build refuses an initramfs that is too large as a whole.
func TestInitLimits(t *testing.T) {
	const modules = 2 * mib
	var largest []byte
	for _, arch := range []string{"arm64", "armhf"} {
		p, err := ProgramsOf(arch)
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Init) > maxInit {
			t.Errorf("%s: got an init of %d bytes, want at most %d", arch, len(p.Init), maxInit)
		}
		if len(p.Init) > len(largest) {
			largest = p.Init
		}
		if hashOf(p.Init) == hashOf(p.Shelf) {
			t.Errorf("%s: init and shelf are the same program", arch)
		}
	}
	var packed bytes.Buffer
	if err := initramfs.Write(&packed, []initramfs.Entry{{Path: "init", Mode: initramfs.Regular | 0o755, Data: largest}}); err != nil {
		t.Fatal(err)
	}
	if got := packed.Len(); got < 1*mib || got > maxInitramfs-modules {
		t.Errorf("got %d bytes for the init in an initramfs, want at least 1 MiB and at most %d", got, maxInitramfs-modules)
	}
}
