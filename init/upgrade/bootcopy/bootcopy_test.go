package bootcopy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"imgbuild/init/contract/bundle"
	"imgbuild/init/contract/diskmap"
	"imgbuild/init/contract/fat"
	"imgbuild/init/contract/fatfile"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/firmware"
	"imgbuild/init/contract/mbr"
	"imgbuild/init/upgrade/slot"
)

// disk is a disk of zeros that remembers every write; after some of them it fails.
type disk struct {
	data   map[int64][slot.Sector]byte
	writes []write1
	left   int // writes until it fails; negative: it does not
}

type write1 struct{ off, size int64 } // size 0: a flush

var errGone = errors.New("the card is gone")

func (d *disk) ReadAt(p []byte, off int64) (int, error) {
	if off%slot.Sector != 0 || len(p)%slot.Sector != 0 {
		return 0, fmt.Errorf("%d bytes at %d are not whole sectors", len(p), off)
	}
	for at := 0; at < len(p); at += slot.Sector {
		s := d.data[off+int64(at)]
		copy(p[at:], s[:])
	}
	return len(p), nil
}

func (d *disk) WriteAt(p []byte, off int64) (int, error) {
	if off%slot.Sector != 0 || len(p)%slot.Sector != 0 {
		return 0, fmt.Errorf("%d bytes at %d are not whole sectors", len(p), off)
	}
	if d.left == 0 {
		return 0, errGone
	}
	d.left--
	d.writes = append(d.writes, write1{off, int64(len(p))})
	for at := 0; at < len(p); at += slot.Sector {
		d.data[off+int64(at)] = [slot.Sector]byte(p[at:])
	}
	return len(p), nil
}

func (d *disk) Flush() error        { d.writes = append(d.writes, write1{}); return nil }
func (d *disk) Direct() io.ReaderAt { return d }
func (d *disk) clone() *disk        { return &disk{data: maps.Clone(d.data), left: -1} }

type fileMap map[string]string

// newDisk is a disk with a BOOT in the first place.
func newDisk(t *testing.T, files fileMap) *disk {
	t.Helper()
	d := &disk{data: map[int64][slot.Sector]byte{}, left: -1}
	table := mbr.Table{Signature: 0x11223344, Partitions: [4]mbr.Partition{
		{Start: diskmap.Boot / 512, Sectors: diskmap.BootSize / 512, Type: diskmap.TypeBoot, Active: true},
		{Start: diskmap.SlotA / 512, Sectors: diskmap.SlotSize / 512, Type: diskmap.TypeSlot},
		{Start: diskmap.SlotB / 512, Sectors: diskmap.SlotSize / 512, Type: diskmap.TypeSlot},
		{Start: diskmap.Data / 512, Sectors: 1 << 20, Type: diskmap.TypeData}}}
	sector, err := table.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	d.data[0] = sector
	d.boot(t, firmware.First, files)
	d.writes = nil
	return d
}

// boot writes a BOOT, as the builder does it.
func (d *disk) boot(t *testing.T, p firmware.Place, files fileMap) {
	t.Helper()
	var list []fat.File
	for name, text := range files {
		list = append(list, fat.File{Path: name, Size: int64(len(text)), Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }})
	}
	v := firmware.Volume(list, 7, int64(p), diskmap.BootSize)
	e, err := v.Mapped()
	if err != nil {
		t.Fatal(err)
	}
	m := make(memory, e.Size)
	if err := v.Write(m); err != nil {
		t.Fatal(err)
	}
	if _, err := d.WriteAt(m, int64(p)); err != nil {
		t.Fatal(err)
	}
}

// booted are the files of the BOOT that boots.
func (d *disk) booted(t *testing.T) (firmware.Place, fileMap) {
	t.Helper()
	p, err := Booted(d)
	if err != nil {
		t.Fatal(err)
	}
	list, err := files(at(d, p))
	if err != nil {
		t.Fatal(err)
	}
	all := fileMap{}
	for _, c := range list {
		all[c.Path] = string(c.Data)
	}
	return p, all
}

// bundleOf is a bundle with a firmware; the part for one board is NAME@BOARD.
func bundleOf(files fileMap) (*bundle.Bundle, *source) {
	m := &bundle.Manifest{Version: "v2"}
	for name, text := range files {
		name, board, _ := strings.Cut(name, "@")
		sum := sha256.Sum256([]byte(text))
		m.Firmware = append(m.Firmware, firmware.File{Path: name, Board: board, Size: int64(len(text)), SHA256: hex.EncodeToString(sum[:])})
	}
	slices.SortFunc(m.Firmware, firmware.Compare)
	s := &source{}
	for _, f := range m.Firmware {
		key := f.Path
		if f.Board != "" {
			key += "@" + f.Board
		}
		s.data = append(s.data, files[key]...)
	}
	return &bundle.Bundle{Source: s, Manifest: m}, s
}

type source struct{ data []byte }

func (s *source) Range(_ context.Context, off, n int64) (io.ReadCloser, error) {
	if off > int64(len(s.data)) {
		return nil, io.ErrUnexpectedEOF
	}
	return io.NopCloser(bytes.NewReader(s.data[off:min(off+n, int64(len(s.data)))])), nil
}

var (
	before = fileMap{"boot.scr": "script of before", "config.txt": "kernel=u-boot.bin\n", "start4.elf": strings.Repeat("old firmware ", 9000), "gone.dat": "x", "mine.txt": "the user's own",
		"config.yaml": strings.Repeat("hostname: a\n", 900), "config.d/00-image.yaml": "shelf: {}\n", "config.d/20-disk.yaml": "data: {}\n", "report.txt": strings.Repeat(" ", 65536), "rescue.txt": "no\n", "usercfg.txt": "gpu_mem=64\n"}
	after = fileMap{"boot.scr@rpi3": "the script for 3", "boot.scr@rpi4": "the script for 4", "config.txt": "kernel=u-boot.bin\ninclude usercfg.txt\n", "start4.elf": strings.Repeat("new firmware ", 9500), "overlays/README": "none"}
)

// merged are the files that a BOOT has after the upgrade.
func merged(board string) fileMap {
	all := fileMap{}
	for name, text := range after {
		if name, b, _ := strings.Cut(name, "@"); b == "" || b == board {
			all[name] = text
		}
	}
	for name, text := range before {
		if firmware.User(name) {
			all[name] = text
		}
	}
	return all
}

// inside fails the test unless all writes but the last are in a place of BOOT, and the last is
// sector 0 after a flush.
func (d *disk) inside(t *testing.T, p firmware.Place) {
	t.Helper()
	n := len(d.writes)
	if n < 3 || d.writes[n-1].size != 0 || d.writes[n-2] != (write1{0, 512}) || d.writes[n-3].size != 0 {
		t.Fatalf("the end is not a flush, sector 0 and a flush: %v", d.writes[max(0, n-4):])
	}
	for _, w := range d.writes[:n-2] {
		if w.size != 0 && (w.off < int64(p) || w.off+w.size > int64(p)+diskmap.BootSize) {
			t.Errorf("%d bytes were written at %d, outside of BOOT's place", w.size, w.off)
		}
	}
}

func TestUpgrade(t *testing.T) {
	for _, board := range []string{"rpi3", "rpi4"} {
		d := newDisk(t, before)
		for i := int64(0); i < 64<<10; i += slot.Sector { // something is in the other place
			d.data[diskmap.Spare+i*256] = [slot.Sector]byte{1, 2, 3}
		}
		first := d.data[0]
		b, _ := bundleOf(after)
		r, err := Upgrade(t.Context(), d, b, board, nil)
		if err != nil {
			t.Fatal(err)
		}
		if want := []string{"gone.dat", "mine.txt"}; r.Same || r.At != firmware.Second || !slices.Equal(sorted(r.Dropped), want) {
			t.Errorf("got %+v, want %v dropped", r, want)
		}
		d.inside(t, firmware.Second)
		if p, got := d.booted(t); p != firmware.Second || !maps.Equal(got, merged(board)) {
			t.Errorf("%s: %s boots, with %v", board, p, names(got))
		}
		if now := d.data[0]; !bytes.Equal(now[:446+1], first[:446+1]) || !bytes.Equal(now[446+16:], first[446+16:]) {
			t.Error("more than the place of partition 1 has changed")
		}
		d.writes = nil
		if r, err := Upgrade(t.Context(), d, b, board, nil); err != nil || !r.Same || r.At != firmware.Second || len(d.writes) != 0 {
			t.Errorf("again: got %+v, %v, %d writes", r, err, len(d.writes))
		}

		// The way back: only the table changes while the user's files are the same.
		if r, err := Back(t.Context(), d); err != nil || r.At != firmware.First || len(d.writes) != 2 {
			t.Errorf("back: got %+v, %v, %d writes", r, err, len(d.writes))
		}
		if p, got := d.booted(t); p != firmware.First || !maps.Equal(got, before) {
			t.Errorf("back: %s boots, with %v", p, names(got))
		}
		// With other settings the BOOT of before is written again, with those of now.
		if err := fatfile.Overwrite(io2{d, diskmap.Boot}, "config.yaml", []byte(strings.Repeat("hostname: b\n", 900)), ' '); err != nil {
			t.Fatal(err)
		}
		d.writes = nil
		if r, err := Back(t.Context(), d); err != nil || r.At != firmware.Second {
			t.Errorf("forth: got %+v, %v", r, err)
		}
		d.inside(t, firmware.Second)
		want := merged(board)
		want["config.yaml"] = strings.Repeat("hostname: b\n", 900)
		if p, got := d.booted(t); p != firmware.Second || !maps.Equal(got, want) {
			t.Errorf("forth: %s boots, with %v", p, names(got))
		}
	}
}

// io2 is a part of a disk.
type io2 struct {
	d  *disk
	at int64
}

func (i io2) ReadAt(p []byte, off int64) (int, error)  { return i.d.ReadAt(p, i.at+off) }
func (i io2) WriteAt(p []byte, off int64) (int, error) { return i.d.WriteAt(p, i.at+off) }

// TestRefused: nothing is written.
func TestRefused(t *testing.T) {
	whole := newDisk(t, before)
	for name, c := range map[string]struct {
		board string
		files fileMap
		spoil func(d *disk, s *source)
		want  fault.Kind
	}{
		"no firmware":     {"rpi4", nil, nil, fault.Input},
		"another board":   {"rpi5", after, nil, fault.Input},
		"a changed byte":  {"rpi4", after, func(_ *disk, s *source) { s.data[len(s.data)-9] ^= 1 }, fault.Verify},
		"the first byte":  {"rpi4", after, func(_ *disk, s *source) { s.data[40] ^= 1 }, fault.Verify},
		"it ends early":   {"rpi4", after, func(_ *disk, s *source) { s.data = s.data[:len(s.data)-1] }, 0},
		"no table":        {"rpi4", after, func(d *disk, _ *source) { d.data[0] = [512]byte{} }, fault.Device},
		"BOOT is damaged": {"rpi4", after, func(d *disk, _ *source) { d.data[diskmap.Boot] = [512]byte{} }, fault.Device},
		"another layout": {"rpi4", after, func(d *disk, _ *source) {
			s := d.data[0]
			copy(s[:], mbr.Set(s[:], 1, mbr.Partition{Start: 2048, Sectors: 4096, Type: diskmap.TypeBoot}))
			d.data[0] = s
		}, fault.Device},
		"the place is taken": {"rpi4", after, func(d *disk, _ *source) {
			s := d.data[0]
			copy(s[:], mbr.Set(s[:], 2, mbr.Partition{Start: diskmap.Spare / 512, Sectors: 4096, Type: diskmap.TypeSlot}))
			d.data[0] = s
		}, fault.Device},
	} {
		d := whole.clone()
		b, s := bundleOf(c.files)
		if c.spoil != nil {
			c.spoil(d, s)
		}
		_, err := Upgrade(t.Context(), d, b, c.board, nil)
		if err == nil || c.want != 0 && fault.Code(err) != int(c.want) || len(d.writes) != 0 {
			t.Errorf("%s: got %v, want kind %d, %d writes", name, err, c.want, len(d.writes))
		}
	}
	d := whole.clone()
	if r, err := Back(t.Context(), d); err == nil || len(d.writes) != 0 {
		t.Errorf("nothing to go back to: got %+v, %v, %d writes", r, err, len(d.writes))
	}
}

// TestInterrupted: whichever write fails, the old BOOT boots, whole, and another run succeeds.
func TestInterrupted(t *testing.T) {
	whole := newDisk(t, before)
	b, _ := bundleOf(after)
	for n := 0; ; n++ {
		d := whole.clone()
		d.left = n
		_, err := Upgrade(t.Context(), d, b, "rpi4", nil)
		if err == nil {
			if n < 5 {
				t.Errorf("only %d writes", n)
			}
			break
		}
		if p, got := d.booted(t); !errors.Is(err, errGone) || p != firmware.First || !maps.Equal(got, before) {
			t.Fatalf("write %d: %v; %s boots, with %v", n, err, p, names(got))
		}
		d.left = -1
		c := d.clone()
		if _, err := Back(t.Context(), c); err == nil { // only the table was missing
			if _, got := c.booted(t); !maps.Equal(got, merged("rpi4")) {
				t.Errorf("write %d: half a BOOT boots by the way back: %v", n, names(got))
			}
		}
		if _, err := Upgrade(t.Context(), d, b, "rpi4", nil); err != nil {
			t.Fatal(err)
		}
		if p, got := d.booted(t); p != firmware.Second || !maps.Equal(got, merged("rpi4")) {
			t.Errorf("write %d, then again: %s boots, with %v", n, p, names(got))
		}
	}
}

func names(m fileMap) []string { return slices.Sorted(maps.Keys(m)) }

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }
