package flash

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"imgbuild/builder/bmap"
	"imgbuild/init/contract/diskmap"
	"imgbuild/init/contract/fat"
	"imgbuild/init/contract/fatfile"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/mbr"
)

const mib = 1 << 20

// makeImage writes an image like imgbuild's, with little in it, and its block map.
func makeImage(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "node.img")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const size = diskmap.Data + 8*mib
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	table := mbr.Table{Signature: 7, Partitions: [4]mbr.Partition{
		{Start: diskmap.Boot / 512, Sectors: diskmap.BootSize / 512, Type: mbr.FAT32}, {Start: diskmap.SlotA / 512, Sectors: diskmap.SlotSize / 512, Type: mbr.HiddenFAT32},
		{Start: diskmap.SlotB / 512, Sectors: diskmap.SlotSize / 512, Type: mbr.HiddenFAT32}, {Start: diskmap.Data / 512, Sectors: 8 * mib / 512, Type: mbr.Linux}}}
	sector, err := table.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	copy(sector[:], "boot code")
	text := []byte("hostname: old\n" + strings.Repeat(" ", 4081) + "\n")
	v := fat.Volume{Label: "BOOT", ID: 1, Start: diskmap.Boot / 512, Size: diskmap.BootSize, ClusterSize: 1024,
		Files: []fat.File{{Path: "config.yaml", Size: int64(len(text)), Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil }}}}
	if err := v.Write(io.NewOffsetWriter(f, diskmap.Boot)); err != nil {
		t.Fatal(err)
	}
	e, err := v.Mapped()
	if err != nil {
		t.Fatal(err)
	}
	for at, data := range map[int64][]byte{0: sector[:], diskmap.SlotA: bytes.Repeat([]byte("slot"), 3*mib), diskmap.Data: bytes.Repeat([]byte("data"), 1024)} {
		if _, err := f.WriteAt(data, at); err != nil {
			t.Fatal(err)
		}
	}
	ranges := bmap.Ranges([]bmap.Range{{Start: 0, End: 2 * mib}, {Start: diskmap.Boot, End: diskmap.Boot + e.Size}, {Start: diskmap.SlotA, End: diskmap.SlotA + 12*mib}, {Start: diskmap.Data, End: diskmap.Data + 8192}}, size)
	m, err := bmap.Make(f, size, ranges)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name+".bmap", m.Marshal(), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func openImage(t *testing.T, name string) *Source {
	t.Helper()
	s, err := OpenImage(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// blank is a file in the place of a card, with old content in some places.
func blank(t *testing.T, size int64) (*Card, string) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "card")
	if err := os.WriteFile(name, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name, size); err != nil {
		t.Fatal(err)
	}
	c, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	old := aligned(mib)
	copy(old, bytes.Repeat([]byte{0xEE}, mib))
	for _, at := range []int64{0, diskmap.SlotA, diskmap.SlotB + mib} {
		if _, err := c.WriteAt(old, at); err != nil {
			t.Fatal(err)
		}
	}
	return c, name
}

const cardSize = diskmap.Data + 1000*mib

func readAt(t *testing.T, name string, at int64, n int) []byte {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := make([]byte, n)
	if _, err := f.ReadAt(p, at); err != nil {
		t.Fatal(err)
	}
	return p
}

// What is mapped is on the card, what is not is left alone; partition 4 reaches to the end and the
// signature is new. Every byte that was reported was written.
func TestWrite(t *testing.T) {
	image := makeImage(t)
	s := openImage(t, image)
	if err := s.Configure([]byte("hostname: new\n")); err != nil {
		t.Fatal(err)
	}
	signatures := map[uint32]bool{7: true}
	for range 2 {
		c, name := blank(t, cardSize)
		steps := map[string]int64{}
		if err := Write(t.Context(), c, s, Report{Progress: func(step string, done, total int64) {
			if done > total || done < steps[step] {
				t.Errorf("%s: %d of %d after %d", step, done, total, steps[step])
			}
			steps[step] = done
		}}); err != nil {
			t.Fatal(err)
		}
		if steps["write"] != s.Map.Mapped() || steps["compare"] != s.Map.Mapped()-first {
			t.Errorf("got %v, want %d bytes written and all but the first block compared", steps, s.Map.Mapped())
		}
		for _, r := range s.Map.Ranges {
			for at := max(r.Start, first); at < r.End; at += mib {
				n := int(min(mib, r.End-at))
				if at < diskmap.Boot || at >= diskmap.Boot+diskmap.BootSize {
					if !bytes.Equal(readAt(t, name, at, n), readAt(t, image, at, n)) {
						t.Fatalf("the card differs from the image after %d", at)
					}
				}
			}
		}
		if got := readAt(t, name, diskmap.SlotB+mib, 512); !bytes.Equal(got, bytes.Repeat([]byte{0xEE}, 512)) {
			t.Error("what is not mapped was written")
		}
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		text, err := fatfile.ReadFile(io.NewSectionReader(f, diskmap.Boot, diskmap.BootSize), "config.yaml")
		if err != nil || strings.TrimSpace(string(text)) != "hostname: new" {
			t.Errorf("config.yaml is %q, %v", strings.TrimSpace(string(text)), err)
		}
		sector := readAt(t, name, 0, 512)
		table, err := mbr.Parse(sector)
		if err != nil || table.Partitions[3].End() != cardSize/512 || string(sector[:9]) != "boot code" {
			t.Errorf("the table is %+v, %v", table, err)
		}
		if signatures[table.Signature] {
			t.Errorf("the signature %x is not new", table.Signature)
		}
		signatures[table.Signature] = true
	}
	text, err := fatfile.ReadFile(io.NewSectionReader(s.File, diskmap.Boot, diskmap.BootSize), "config.yaml")
	if err != nil || !strings.HasPrefix(string(text), "hostname: old\n") {
		t.Errorf("the image was changed: %.20q, %v", text, err)
	}
}

// odd is a card that does not do what it should.
type odd struct {
	*Card
	write  func(p []byte, off int64) (int, error)
	reread func(p []byte, off int64) error
}

func (o odd) WriteAt(p []byte, off int64) (int, error) {
	if o.write != nil {
		return o.write(p, off)
	}
	return o.Card.WriteAt(p, off)
}

func (o odd) Reread(p []byte, off int64) error {
	if o.reread != nil {
		return o.reread(p, off)
	}
	return o.Card.Reread(p, off)
}

// A card that fails, is pulled, lies about its size, loses writes or gives back something else, and
// a run that is interrupted: each time there is an error of the right kind, and no partition
// table.
func TestBadCards(t *testing.T) {
	s := openImage(t, makeImage(t))
	for name, c := range map[string]struct {
		kind fault.Kind
		want string
		make func(c *Card, stop func()) odd
	}{
		"write error": {fault.Device, "another card", func(c *Card, _ func()) odd {
			return odd{Card: c, write: func(p []byte, off int64) (int, error) {
				if off > diskmap.SlotA {
					return 0, unix.EIO
				}
				return c.WriteAt(p, off)
			}}
		}},
		"pulled": {fault.Device, "the card is gone", func(c *Card, _ func()) odd {
			n := 0
			return odd{Card: c, write: func(p []byte, off int64) (int, error) {
				if n++; n > len(places(cardSize))+3 {
					return 0, unix.ENODEV
				}
				return c.WriteAt(p, off)
			}}
		}},
		"half the size, wraps around": {fault.Device, "lies about its size", func(c *Card, _ func()) odd {
			half := func(off int64) int64 { return off % (cardSize / 2 / 4096 * 4096) }
			return odd{c, func(p []byte, off int64) (int, error) { return c.WriteAt(p, half(off)) }, func(p []byte, off int64) error { return c.Reread(p, half(off)) }}
		}},
		"no memory at the end": {fault.Device, "lies about its size", func(c *Card, _ func()) odd {
			return odd{Card: c, write: func(p []byte, off int64) (int, error) {
				if off > cardSize-100*mib {
					return len(p), nil
				}
				return c.WriteAt(p, off)
			}}
		}},
		"loses one write": {fault.Device, "does not hold", func(c *Card, _ func()) odd {
			return odd{Card: c, write: func(p []byte, off int64) (int, error) {
				if off == diskmap.SlotA+8*mib && len(p) == chunk {
					return len(p), nil
				}
				return c.WriteAt(p, off)
			}}
		}},
		"one bit": {fault.Device, "does not hold", func(c *Card, _ func()) odd {
			return odd{Card: c, reread: func(p []byte, off int64) error {
				err := c.Reread(p, off)
				if off == diskmap.Data {
					p[4711] ^= 1
				}
				return err
			}}
		}},
		"read error": {fault.Device, "reading back", func(c *Card, _ func()) odd {
			return odd{Card: c, reread: func(p []byte, off int64) error {
				if off == diskmap.Data {
					return unix.EIO
				}
				return c.Reread(p, off)
			}}
		}},
		"short write": {fault.Device, "short write", func(c *Card, _ func()) odd {
			return odd{Card: c, write: func(p []byte, off int64) (int, error) {
				if off == diskmap.Data {
					return len(p) - 512, nil
				}
				return c.WriteAt(p, off)
			}}
		}},
		"Ctrl-C": {fault.Interrupted, "does not boot", func(c *Card, stop func()) odd {
			return odd{Card: c, write: func(p []byte, off int64) (int, error) {
				if off == diskmap.Data {
					stop()
				}
				return c.WriteAt(p, off)
			}}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			card, file := blank(t, cardSize)
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			err := Write(ctx, c.make(card, stop), s, Report{})
			if fault.Code(err) != int(c.kind) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want kind %d and %q", err, c.kind, c.want)
			}
			if sector := readAt(t, file, 0, 4096); !bytes.Equal(sector, make([]byte, 4096)) {
				t.Errorf("the card could boot: %x", sector[440:512])
			}
		})
	}
}

// A last write of the partition table that is lost is noticed.
func TestTableIsCompared(t *testing.T) {
	s := openImage(t, makeImage(t))
	card, _ := blank(t, cardSize)
	n := 0
	err := Write(t.Context(), odd{Card: card, write: func(p []byte, off int64) (int, error) {
		if off == 0 {
			if n++; n == 2 {
				return len(p), nil
			}
		}
		return card.WriteAt(p, off)
	}}, s, Report{})
	if fault.Code(err) != int(fault.Device) || n != 2 {
		t.Errorf("got %v after %d writes of the first block, want a fault of kind Device", err, n)
	}
}

// What is not an image of imgbuild's, was cut short, or does not match its map is refused; a
// damaged one is found while it is written.
func TestImages(t *testing.T) {
	dir := t.TempDir()
	put := func(name string, data []byte) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	short, other := makeImage(t), makeImage(t)
	if err := os.Truncate(short, diskmap.Data+mib); err != nil {
		t.Fatal(err)
	}
	longer := makeImage(t)
	if err := os.Truncate(longer, diskmap.Data+9*mib); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(other+".bmap", []byte("<bmap/>"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		filepath.Join(dir, "absent"): "does not exist", dir: "is a directory", put("empty", nil): "is empty", put("small", []byte("x")): "is not an image",
		put("text", bytes.Repeat([]byte("x"), 4096)): "not an image of imgbuild's", short: "cut short", longer: "is for an image of", other: "block map",
	} {
		if _, err := OpenImage(name); fault.Code(err) != int(fault.Input) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want a fault of kind Input with %q", filepath.Base(name), err, want)
		}
	}
	damaged := makeImage(t)
	f, err := os.OpenFile(damaged, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteAt([]byte("x"), diskmap.SlotA+5*mib)
	f.Close()
	card, _ := blank(t, cardSize)
	if err := Write(t.Context(), card, openImage(t, damaged), Report{}); fault.Code(err) != int(fault.Verify) {
		t.Errorf("got %v, want a fault of kind Verify", err)
	}
	whole := makeImage(t)
	os.Remove(whole + ".bmap")
	if s := openImage(t, whole); !s.Whole || s.Map.Mapped() != s.Map.Size {
		t.Errorf("got %+v, want that all of it is written where there is no map", s.Map)
	}
	s := openImage(t, makeImage(t))
	if err := s.Configure(bytes.Repeat([]byte("a"), 5000)); fault.Code(err) != int(fault.Input) {
		t.Errorf("a configuration that does not fit: got %v", err)
	}
}

// What cannot be written to is named.
func TestOpen(t *testing.T) {
	dir := t.TempDir()
	for name, kind := range map[string]fault.Kind{filepath.Join(dir, "absent"): fault.Input, dir: fault.Usage, "/dev/null": fault.Usage} {
		if _, err := Open(name); fault.Code(err) != int(kind) {
			t.Errorf("%s: got %v, want kind %d", name, err, kind)
		}
	}
	if _, err := Open(filepath.Join(dir, "absent")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// Whatever simple part of its size a card really has, two places are the same for it.
func TestPlaces(t *testing.T) {
	for _, size := range []int64{2 << 30, 31914983424, 64 << 30, 255 << 30, cardSize} {
		all := places(size)
		if len(all) < spread || all[0] < first || all[len(all)-1] > size-probe {
			t.Errorf("%d: got %d places from %d to %d", size, len(all), all[0], all[len(all)-1])
		}
		reals := []int64{size / 2 / probe * probe, size / 4 / probe * probe}
		for r := int64(128 << 20); r < size; r *= 2 {
			reals = append(reals, r)
		}
		for _, real := range reals {
			seen, same := map[int64]bool{}, false
			for _, at := range all {
				same = same || seen[at%real]
				seen[at%real] = true
			}
			if !same {
				t.Errorf("a card of %d bytes that reports %d is not found", real, size)
			}
		}
	}
}
