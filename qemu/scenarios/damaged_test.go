package scenarios

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imgbuild/init/contract/bootstate"
	"imgbuild/qemu/vm"
)

// tailSize is how many random bytes are behind a stand-in for k3s, so that a place in a slot can be
// found and damaged: squashfs keeps them as they are.
const tailSize = 2 << 20

// tailed returns a stand-in for k3s with random bytes behind it, which nobody reads while k3s does
// not run.
func tailed(t *testing.T) (word string, tail []byte) {
	t.Helper()
	program, err := os.ReadFile(static(t, "arm64", "../fixtures/standin"))
	if err != nil {
		t.Fatal(err)
	}
	tail = make([]byte, tailSize)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(tail) // never fails
	out := filepath.Join(t.TempDir(), "k3s-tailed")
	if err := os.WriteFile(out, append(program, tail...), 0o700); err != nil {
		t.Fatal(err)
	}
	return "k3s=" + out, tail
}

// TestDamagedSlots flips bytes in two blocks of each slot, both of which are good. The node leaves
// the first one, once, and stays in the other one, where it can be reached. FULL: two boots.
func TestDamagedSlots(t *testing.T) {
	if !full {
		return
	}
	t.Parallel()
	word, tail := tailed(t)
	im := build(t, cloudConfig("shelf-damaged", ""), "board=rpi4", "role=worker", word)
	disk := filepath.Join(t.TempDir(), "disk.img")
	duplicate(t, im.Image, disk)
	f, err := os.OpenFile(disk, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fillB(t, f)
	both := bootstate.Fresh(bootstate.A)
	both.B = bootstate.Good
	text, err := both.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int64{bootstate.Copy0, bootstate.Copy1} {
		if _, err := f.WriteAt(text[:], at); err != nil {
			t.Fatal(err)
		}
	}
	blocks := damageTail(t, disk, f, tail)
	_, cable := testLAN(t)
	g := boot(t, vm.Options{Image: disk, Name: "damaged", Machine: "virt", Size: 4 << 30, Links: []*vm.Link{cable}})[0]
	g.see(`shelf: booting slot a`)
	g.up()
	s := g.login()
	read := func(block int64) {
		t.Helper()
		out, err := s.try(damagedRead(block))
		if err == nil || !strings.Contains(out+err.Error(), "Input/output error") {
			t.Errorf("block %d: %q, %v", block, out, err)
		}
	}
	read(blocks[0])
	s.until("sudo shelf status 2>&1 || true", "nothing yet; replace the card if this comes again")
	_, _ = s.try(damagedRead(blocks[1])) // the connection may go before the answer comes
	g.see(`shelf: booting slot b`)
	g.up()
	s = g.login()
	read(blocks[0])
	read(blocks[1])
	got := s.until("sudo shelf status 2>&1; echo code $?", "replace the card; there is no better system to go to")
	if !strings.HasSuffix(got, "code 7") {
		t.Errorf("shelf status: %s, want code 7", got)
	}
	if got := s.run("sudo dmesg | grep -c 'is corrupted'"); got == "0" {
		t.Error("the kernel reports no damaged block")
	}
	s.off()
	if n := strings.Count(g.Output(), "shelf: booting slot"); n != 2 {
		t.Errorf("%d boots, want 2", n)
	}
	if r := records(t, g.Disk); r.A != bootstate.Bad || r.Active != bootstate.B || r.B != bootstate.Good {
		t.Errorf("the boot record is %+v", r)
	}
}

// damagedRead is a command that reads a block of /usr below its file system.
func damagedRead(block int64) string {
	return fmt.Sprint(`sudo dd if=$(awk '$2 == "/usr" {print $1}' /proc/mounts) of=/dev/null bs=4096 count=1 skip=`, block, " 2>&1")
}

// damageTail flips a byte in two blocks of both slots, far from each other, and gives their numbers
// below /usr's verity.
func damageTail(t *testing.T, disk string, f *os.File, tail []byte) (blocks [2]int64) {
	t.Helper()
	im := openImage(t, disk)
	m, err := im.Manifest(vm.SlotA)
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, m.Root.Size)
	if _, err := im.Partition(vm.SlotA).ReadAt(data, m.Root.Offset); err != nil {
		t.Fatal(err)
	}
	for i, part := range []int{tailSize / 4, tailSize * 3 / 4} {
		at := int64(bytes.Index(data, tail[part:part+4096]))
		if at < 0 {
			t.Fatal("the random bytes are not in the slot")
		}
		for _, start := range []int64{slotAStart, slotBStart} {
			if _, err := f.WriteAt([]byte{tail[part] ^ 1}, start+m.Root.Offset+at); err != nil {
				t.Fatal(err)
			}
		}
		blocks[i] = at / 4096
	}
	return blocks
}
