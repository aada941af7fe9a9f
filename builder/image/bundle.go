package image

import (
	"context"
	"io"
	"os"
	"strings"

	"imgbuild/builder/bundle"
	"imgbuild/builder/tree"
	format "imgbuild/init/contract/bundle"
	"imgbuild/init/contract/ext4"

	"aead.dev/minisign"
)

// bundle writes the upgrade bundle of the slot in the finished disk. Nothing is compressed once
// more: the pieces are the slot's own.
func (b *build) bundle(ctx context.Context) error {
	if b.Key == nil || b.ImageOnly {
		return nil
	}
	in, err := os.Open(b.path("disk.img"))
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := b.create("upgrade")
	if err != nil {
		return err
	}
	defer out.Close()
	if err := bundle.OfDisk(ctx, out, in, io.NewSectionReader(in, slotAStart, slotSize), *b.Key); err != nil {
		return err
	}
	return out.Close()
}

// keyEntries writes the builder's public key to the data partition: what it signs is what the node
// takes. A node that moves in with keys of its own keeps those.
func keyEntries(key *minisign.PrivateKey, have []ext4.Entry) []ext4.Entry {
	if key == nil {
		return nil
	}
	for _, e := range have {
		if strings.EqualFold(e.Path, format.KeysFile) {
			return nil
		}
	}
	line := format.Keys{key.Public().(minisign.PublicKey)}.String()
	c := tree.Bytes([]byte(line))
	return []ext4.Entry{{Path: format.KeysFile, Kind: ext4.File, Mode: 0o644, Size: c.Size, Open: c.Open}}
}
