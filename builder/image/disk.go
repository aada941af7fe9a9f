package image

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"imgbuild/builder/tree"
	"imgbuild/init/contract/bootstate"
	"imgbuild/init/contract/diskmap"
	"imgbuild/init/contract/ext4"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/mbr"
)

// disk writes the .img: partition table, raw blobs, boot record, BOOT, slot A and the data
// partition. Slot B stays empty.
func (b *build) disk(p *prepared) error {
	o := ext4.Options{Size: dataSize, MaxSize: dataMax, UUID: b.id("data"), HashSeed: b.id("data hash"), Label: diskmap.DataLabel, Journal: journalSize, Time: b.date()}
	entries := append(dataEntries(), b.Node.entries()...)
	links := slices.IndexFunc(entries, func(e ext4.Entry) bool { return e.Kind == ext4.HardLink }) // come last
	if links < 0 {
		links = len(entries)
	}
	entries = slices.Insert(entries, links, append(airGapEntries(b.AirGap, entries, b.date()), keyEntries(b.Key, entries)...)...)
	var err error
	if o.Size, err = ext4.Fit(o, entries, dataSpare); err != nil {
		return fault.Wrap(err, fault.Input, "take less along: mode=fresh of migrate, fewer images=", "the data partition")
	}
	if end := (dataStart + o.Size) / sector; end > 1<<32-1 {
		return fault.New(fault.Input, "take less along: mode=fresh of migrate, fewer images=", "what is written to the data partition ends beyond 2 TiB, which is the most that a partition table can hold")
	}
	if o.Size > dataSize {
		b.warn("the data partition has %d MiB for what is written to it: the card needs %d MiB", o.Size>>20, (dataStart+o.Size)>>20)
	}
	f, done, err := b.createDisk("disk.img")
	if err != nil {
		return err
	}
	defer done()
	if err := f.Truncate(dataStart + o.Size); err != nil {
		return err
	}
	sig := b.id("disk signature")
	table := mbr.Table{Signature: binary.LittleEndian.Uint32(sig[:]) | 1, Partitions: [4]mbr.Partition{
		{Start: bootStart / sector, Sectors: bootSize / sector, Type: diskmap.TypeBoot, Active: true},
		{Start: slotAStart / sector, Sectors: slotSize / sector, Type: diskmap.TypeSlot},
		{Start: slotBStart / sector, Sectors: slotSize / sector, Type: diskmap.TypeSlot},
		{Start: dataStart / sector, Sectors: uint32(o.Size / sector), Type: diskmap.TypeData},
	}}
	first, err := table.Marshal()
	if err != nil {
		return err
	}
	if _, err := f.WriteAt(first[:], 0); err != nil {
		return err
	}
	if err := b.rawBlobs(f, p); err != nil {
		return err
	}
	record, err := bootstate.Fresh(bootstate.A).Marshal()
	if err != nil {
		return err
	}
	for _, off := range []int64{bootstate.Copy0, bootstate.Copy1} {
		if _, err := f.WriteAt(record[:], off); err != nil {
			return err
		}
	}
	boot, err := b.bootVolume(p)
	if err != nil {
		return err
	}
	if err := boot.Write(io.NewOffsetWriter(f, bootStart)); err != nil {
		return fmt.Errorf("BOOT: %w", err)
	}
	if err := copySparse(io.NewOffsetWriter(f, slotAStart), p.slot); err != nil {
		return fmt.Errorf("slot A: %w", err)
	}
	if err := ext4.Write(io.NewOffsetWriter(f, dataStart), o, entries); err != nil {
		return fmt.Errorf("data partition: %w", err)
	}
	if b.mapped, err = mapped(boot, p.About.Mapped, o, entries); err != nil {
		return err
	}
	return done()
}

// dataEntries is what every data partition begins with.
func dataEntries() []ext4.Entry {
	return []ext4.Entry{
		{Path: "k3os", Kind: ext4.Dir, Mode: 0o755},
		{Path: "k3os/data", Kind: ext4.Dir, Mode: 0o755},
		{Path: "k3os/config", Kind: ext4.Dir, Mode: 0o700},
	}
}

// vendorBlobs brings what the archive does not have, before anything costly is done.
func (b *build) vendorBlobs(ctx context.Context) error {
	b.blobs = map[string][]byte{}
	for _, raw := range b.Recipe.Family.Raw {
		if raw.Package != "" {
			continue
		}
		data, err := b.Blobs.Get(ctx, b.Cache, raw)
		if err != nil {
			return err
		}
		if data == nil {
			b.warn("%s is left out (blobs=skip): the card boots only where it already carries the vendor's boot blobs, or in QEMU", raw.Name)
		}
		b.blobs[raw.Name] = data
	}
	return nil
}

// rawBlobs writes what the board's ROM reads between the partition table and the first partition.
func (b *build) rawBlobs(w io.WriterAt, p *prepared) error {
	for _, raw := range b.Recipe.Family.Raw {
		data := b.blobs[raw.Name]
		if raw.Package != "" {
			n := p.boot[raw.From]
			if n == nil {
				return fmt.Errorf("%s has no %s: correct boards/families/%s.yaml", raw.Package, raw.From, b.Recipe.Family.Name)
			}
			var err error
			if data, err = n.Content.ReadAll(); err != nil {
				return err
			}
		}
		if raw.Cut {
			data = data[:min(int64(len(data)), raw.Sectors*sector)]
		}
		if int64(len(data)) > raw.Sectors*sector {
			return fault.New(fault.Verify, "", "%s has %d bytes and its place on the disk %d", raw.Name, len(data), raw.Sectors*sector)
		}
		if _, err := w.WriteAt(data, raw.Sector*sector); err != nil {
			return err
		}
	}
	return nil
}

// copySparse copies content and leaves out blocks of zeros, which the file has as holes.
func copySparse(w io.WriterAt, c tree.Content) error {
	in, err := c.Open()
	if err != nil {
		return err
	}
	defer in.Close()
	buf, zeros := make([]byte, mib), make([]byte, mib)
	for at := int64(0); at < c.Size; {
		p := buf[:min(mib, c.Size-at)]
		if _, err := io.ReadFull(in, p); err != nil {
			return err
		}
		if !bytes.Equal(p, zeros[:len(p)]) {
			if _, err := w.WriteAt(p, at); err != nil {
				return err
			}
		}
		at += int64(len(p))
	}
	return nil
}
