package scenarios

import (
	"strings"
	"testing"

	"imgbuild/qemu/vm"
)

// TestBoards boots images of other boards once each: up to services, a login, a clean end. They
// have no time server: the clock begins in 1970 and must not stay there.
func TestBoards(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name    string
		board   string
		goarch  string
		words   []string
		options vm.Options
		sees    string // on the console, before the node is up
		machine string // uname -m
		full    bool   // slow: with IMGBUILD_FULL only
	}{
		{name: "qemu-arm", board: "qemu-arm", goarch: "arm", sees: `shelf: booting slot a`, machine: "armv7l"},
		// The Pi's own U-Boot and device tree, its card and its USB network: raspi3b is the only Pi
		// that QEMU runs unmodified.
		{name: "rpi3 on raspi3b", board: "rpi3", goarch: "arm64", options: vm.Options{Machine: "raspi3b"}, sees: `shelf: booting slot a`, machine: "aarch64", full: true},
		// No machine of QEMU's runs the XU4's boot blobs and U-Boot; kernel, initramfs and root are
		// what the card holds.
		{name: "odroid-xu4 on virt", board: "odroid-xu4", goarch: "arm", words: []string{"blobs=skip"}, options: vm.Options{Machine: "virt-arm", Direct: true}, sees: `Booting Linux`, machine: "armv7l", full: true},
		{name: "odroid-xu4 through U-Boot of virt", board: "odroid-xu4", goarch: "arm", words: []string{"blobs=skip"}, options: vm.Options{Machine: "virt-arm"}, sees: `shelf: booting slot a`, machine: "armv7l", full: true},
		{name: "qemu-arm64 without U-Boot", board: "qemu-arm64", goarch: "arm64", options: vm.Options{Direct: true}, sees: `Booting Linux`, machine: "aarch64", full: true},
	}
	for _, row := range rows {
		if row.full && !full {
			continue
		}
		t.Run(row.name, func(t *testing.T) {
			im := build(t, cloudConfig("shelf-"+row.board, ""), append([]string{"board=" + row.board, "role=worker", k3s(t, row.goarch)}, row.words...)...)
			o := row.options
			o.Image, o.Name, o.Size = im.Image, "node", 4<<30
			g := boot(t, o)[0]
			g.see(row.sees)
			g.up()
			s := g.login()
			if got := s.run("uname -m; hostname; sudo id -u; date +%Y"); !strings.HasPrefix(got, row.machine+"\nshelf-"+row.board+"\n0\n") || strings.HasSuffix(got, "1970") {
				t.Errorf("the node answers %q", got)
			}
			if got := s.run("awk '$2 == \"/usr\" {print $3, $4}' /proc/mounts"); !strings.HasPrefix(got, "squashfs ro") {
				t.Errorf("/usr is %q", got)
			}
			s.off()
			ref(t, "e2fsck", "-fn", dataFS(g.Disk))
		})
	}
}
