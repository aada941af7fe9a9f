package scenarios

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"imgbuild/builder/bmap"
	"imgbuild/init/contract/bootstate"
	"imgbuild/qemu/tool"
	"imgbuild/qemu/vm"
)

// byBmaptool writes an image to a disk by bmaptool. It empties a file that it writes to, and no
// disk, so it writes to a file of its own here, and what it has written goes to the disk.
func byBmaptool(t *testing.T, image string, disk *os.File) {
	t.Helper()
	dir := t.TempDir()
	written := filepath.Join(dir, "written")
	cmd, err := tool.Command(t.Context(), "bmaptool", "copy", "--bmap", image+".bmap", image, written)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("bmaptool: %v\n%s", err, out)
	}
	text, err := os.ReadFile(image + ".bmap")
	if err != nil {
		t.Fatal(err)
	}
	m, err := bmap.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(written)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	for _, r := range m.Ranges {
		if n, err := io.Copy(io.NewOffsetWriter(disk, r.Start), io.NewSectionReader(in, r.Start, r.End-r.Start)); err != nil || n != r.End-r.Start {
			t.Fatalf("from %d to %d: %d bytes, %v", r.Start, r.End, n, err)
		}
	}
	if err := os.Remove(written); err != nil {
		t.Fatal(err)
	}
}

// TestBmaptoolOverUsed writes images by bmaptool, which leaves what is not mapped as it was: one
// over a disk full of other bytes, then another one over the used system that came of it, whose
// record has a higher number and prefers slot b, whose slot b is good, and whose journal is dirty.
// Slot a of the new image boots, and after a power cut in its first boot e2fsck finds nothing.
// FULL: two boots.
func TestBmaptoolOverUsed(t *testing.T) {
	if !full {
		return
	}
	t.Parallel()
	words := []string{"board=rpi4", "role=worker", k3s(t, "arm64")}
	old := build(t, cloudConfig("shelf-old", ""), words...)
	next := build(t, cloudConfig("shelf-new", ""), words...)
	disk := filepath.Join(t.TempDir(), "disk.img")
	f, err := os.Create(disk)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const size = 2 << 30
	other := bytes.Repeat([]byte{0xA5, 0x5A, 0xFF, 1}, 1<<18)
	for at := int64(0); at < size; at += int64(len(other)) {
		if _, err := f.WriteAt(other, at); err != nil {
			t.Fatal(err)
		}
	}
	byBmaptool(t, old.Image, f)
	o := vm.Options{Image: disk, Kept: true, Name: "old", Machine: "virt"}
	g := boot(t, o)[0]
	g.see(`shelf: booting slot a`)
	g.up()
	s := g.login()
	s.run("sudo sh -c 'for i in 1 2 3 4 5 6 7 8; do mkdir /var/lib/old$i && cp /etc/* /var/lib/old$i/ 2>/dev/null; sync; done; true'")
	g.Stop() // the power goes
	if h := ref(t, "dumpe2fs", "-h", dataFS(disk)); !bytes.Contains([]byte(h), []byte("needs_recovery")) {
		t.Fatalf("the old system's journal is not dirty:\n%s", h)
	}
	fillB(t, f)
	record := bootstate.Fresh(bootstate.B)
	record.Seq, record.A, record.B = 4711, bootstate.Good, bootstate.Good
	text, err := record.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int64{bootstate.Copy0, bootstate.Copy1} {
		if _, err := f.WriteAt(text[:], at); err != nil {
			t.Fatal(err)
		}
	}

	byBmaptool(t, next.Image, f)
	o.Name = "new"
	g = start(t, o)[0]
	g.see(`shelf: booting slot a`)
	g.see(`shelf: step layout ok`)
	g.see(`shelf: step config ok`)
	g.Stop()
	if r := records(t, disk); r.Active != bootstate.A || r.B != bootstate.Empty || r.Seq >= record.Seq {
		t.Errorf("the record is %+v, want that of a new card", r)
	}
	// In a file of its own: e2fsck 1.47.0 loses the offset once it has replayed a journal.
	data := partition(t, openImage(t, disk), vm.Data)
	ref(t, "e2fsck", "-E", "journal_only", "-y", data) // what every mount does
	ref(t, "e2fsck", "-fn", data)
	for _, name := range []string{"/k3os/data/var/lib/old1", "/k3os/data/var/lib/old8"} {
		if out := ref(t, "debugfs", "-R", "stat "+name, data); !bytes.Contains([]byte(out), []byte("not found")) {
			t.Errorf("the old system's %s is there:\n%s", name, out)
		}
	}
}
