package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"imgbuild/init/contract/bundle"
)

// seal packs the finished disk and sums it meanwhile: both take a pass over all of it.
func (b *build) seal(ctx context.Context) error {
	if err := b.blockMap(); err != nil {
		return err
	}
	if b.ImageOnly {
		info, err := os.Stat(b.path("disk.img"))
		if err == nil {
			b.result.Size = info.Size()
		}
		return err
	}
	var g errgroup.Group
	g.Go(func() (err error) {
		b.imageSum, err = sumSparse(ctx, b.path("disk.img"))
		return err
	})
	g.Go(func() error { return b.pack(ctx) })
	return g.Wait()
}

// sumSparse is the sha256 of a file, in hex. Holes are not read: most of a disk is one.
func sumSparse(ctx context.Context, name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	ranges, err := dataRanges(f, info.Size())
	if err != nil {
		return "", err
	}
	h, zeros, pos := sha256.New(), make([]byte, mib), int64(0)
	for _, r := range append(ranges, dataRange{info.Size(), info.Size()}) {
		for ; pos < r.start; pos += min(mib, r.start-pos) {
			h.Write(zeros[:min(mib, r.start-pos)])
		}
		if err := ctx.Err(); err != nil {
			return "", err
		}
		if n, err := io.Copy(h, io.NewSectionReader(f, r.start, r.end-r.start)); err != nil || n != r.end-r.start {
			return "", fmt.Errorf("reading the disk from %d to %d: %d bytes: %w", r.start, r.end, n, err)
		}
		pos = r.end
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

type dataRange struct{ start, end int64 }

// dataRanges returns the parts of a file that are not holes, as SEEK_DATA and SEEK_HOLE of lseek(2)
// report them, widened to whole MiB; where the file system knows no holes, that is all of it.
func dataRanges(f *os.File, size int64) ([]dataRange, error) {
	var all []dataRange
	for pos := int64(0); pos < size; {
		start, err := unix.Seek(int(f.Fd()), pos, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break
		}
		if errors.Is(err, unix.EINVAL) {
			return []dataRange{{0, size}}, nil
		}
		if err != nil {
			return nil, fmt.Errorf("looking for holes: %w", err)
		}
		end, err := unix.Seek(int(f.Fd()), start, unix.SEEK_HOLE)
		if err != nil {
			return nil, fmt.Errorf("looking for holes: %w", err)
		}
		r := dataRange{start / mib * mib, min(size, (end+mib-1)/mib*mib)}
		if n := len(all); n > 0 && r.start <= all[n-1].end {
			all[n-1].end = max(all[n-1].end, r.end)
		} else {
			all = append(all, r)
		}
		pos = end
	}
	_, err := f.Seek(0, io.SeekStart)
	return all, err
}

// mapSuffix is the ending of the block map: the name of the image and .bmap, where bmaptool looks.
const mapSuffix = ".img.bmap"

// publish renames all files to their final names, the image last: where it is, all that belongs to
// it does.
func (b *build) publish() error {
	name := func(suffix string) string { return filepath.Join(b.Out, b.result.Name+suffix) }
	b.result.Image = name(".img")
	b.result.Files = []string{name(".img"), name(".img.zst"), name(mapSuffix), name(".json"), name(sbomSuffix), filepath.Join(b.Out, SumsName)}
	data, err := json.MarshalIndent(struct {
		Board    string   `json:"board"`
		Role     string   `json:"role"`
		Warnings []string `json:"warnings,omitempty"`
		Slot     any      `json:"slot"`
		Lock     any      `json:"packages"`
		Suites   any      `json:"suites"`
	}{b.Recipe.Board.Name, b.Recipe.Role.Name, b.result.Warnings, b.result.Manifest, b.Recipe.Lock.Packages, b.Recipe.Lock.Suites}, "", "\t")
	if err != nil {
		return err
	}
	if err := os.WriteFile(b.path("image.json"), append(data, '\n'), 0o644); err != nil {
		return err
	}
	contents, err := b.sbom.ReadAll()
	if err != nil {
		return err
	}
	if err := os.WriteFile(b.path("image.spdx.json"), contents, 0o644); err != nil {
		return err
	}
	var sums []byte
	type move struct{ from, suffix string }
	moves := []move{{"image.json", ".json"}, {"image.spdx.json", sbomSuffix}, {"disk.img.bmap", mapSuffix}, {"disk.img.zst", ".img.zst"}, {"disk.img", ".img"}}
	if b.ImageOnly {
		b.result.Files = []string{name(".img"), name(mapSuffix), name(".json")}
		for _, m := range []move{moves[0], moves[2], moves[4]} {
			if err := b.publishFile(m.from, name(m.suffix)); err != nil {
				return err
			}
		}
		return nil
	}
	if b.Key != nil {
		moves = append([]move{{"upgrade", bundle.Suffix}}, moves...)
		b.result.Files = append(b.result.Files, name(bundle.Suffix))
	}
	for _, m := range moves {
		sum := b.imageSum
		if m.suffix != ".img" {
			if sum, _, err = sumFile(b.path(m.from)); err != nil {
				return err
			}
		}
		sums = append(sums, sum+"  "+b.result.Name+m.suffix+"\n"...)
	}
	if sums, err = mergeSums(filepath.Join(b.Out, SumsName), sums); err != nil {
		return err
	}
	for _, m := range moves {
		if err := b.publishFile(m.from, name(m.suffix)); err != nil {
			return err
		}
	}
	if err := b.writeImager(); err != nil {
		return err
	}
	return b.writeSums(sums)
}
