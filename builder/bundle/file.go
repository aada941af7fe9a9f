package bundle

import (
	"context"
	"io"
	"os"
	"path/filepath"

	"aead.dev/minisign"

	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/bundle"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/userfile"
)

// Kept returns what a bundle file promises and the deltas that it has; nil where the file is an
// image.
func Kept(name string) (*bundle.Manifest, []Delta, error) {
	f, err := userfile.Open("", name)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	head := make([]byte, bundle.HeaderSize)
	if _, err := io.ReadFull(f, head); err != nil {
		return nil, nil, nil // too short for either; opening the slot reports it
	}
	h, err := bundle.ParseHeader(head)
	if err != nil {
		return nil, nil, nil
	}
	text, err := bundle.Read(context.Background(), File{f}, bundle.HeaderSize, h.Manifest)
	if err != nil {
		return nil, nil, err
	}
	m, err := bundle.ParseManifest(text)
	if err != nil {
		return nil, nil, err
	}
	var list []Delta
	for _, d := range h.Deltas {
		g, err := os.Open(name)
		if err != nil {
			return nil, nil, err
		}
		list = append(list, Delta{Base: d.Base, Data: io.NewSectionReader(g, d.Off, d.Size), Size: d.Size, closer: g})
	}
	return m, list, nil
}

// WriteFile makes a bundle of a slot and gives it its name when it is complete.
func WriteFile(ctx context.Context, name string, b *Bundle) error {
	f, err := atomicfile.Create(filepath.Dir(name), 0o644)
	if err != nil {
		return fault.Wrap(err, fault.Device, "give another place as out=FILE", "writing the bundle")
	}
	defer f.Close()
	if err := b.Write(ctx, f); err != nil {
		return err
	}
	return fault.Wrap(f.Commit(name), fault.Device, "give another place as out=FILE", "writing the bundle")
}

// OfDisk signs the slot in data and the firmware of its disk, and writes the bundle to w: what a
// build does with the disk that it has just made.
func OfDisk(ctx context.Context, w io.Writer, disk, data io.ReaderAt, key minisign.PrivateKey) error {
	s, err := Open(data)
	if err != nil {
		return err
	}
	f, err := FirmwareOfDisk(disk)
	if err != nil {
		return err
	}
	b, err := Sign(s, key, Options{Floor: Floor, Firmware: f})
	if err != nil {
		return err
	}
	return b.Write(ctx, w)
}
