package image

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/klauspost/compress/zstd"
)

// frame is how much of the disk goes into one frame of the .img.zst. Partitions begin at multiples
// of it, so the frames of a slot are the same in the image of every node.
const frame = 16 * mib

// pack compresses the finished disk, as zstd frames one after the other: those of an unchanged slot
// come from the cache, and areas that are holes are not read. The image holds little that
// compresses, so the fastest level is as good as any.
func (b *build) pack(ctx context.Context) error {
	in, err := os.Open(b.path("disk.img"))
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	b.result.Size = info.Size()
	ranges, err := dataRanges(in, info.Size())
	if err != nil {
		return err
	}
	for _, r := range ranges {
		b.result.Used += r.end - r.start
	}
	out, done, err := b.createDisk("disk.img.zst")
	if err != nil {
		return err
	}
	defer done()
	f, err := newFrames(in, info.Size(), ranges, func(at int64) error {
		b.progress("pack", at, info.Size())
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	slot := min(b.slotEnd, info.Size())
	if b.slotKey == "" || slot <= slotAStart {
		err = f.write(out, 0, info.Size())
	} else if err = f.write(out, 0, slotAStart); err == nil {
		if err = b.slotFrames(out, f, slot); err == nil {
			err = f.write(out, slot, info.Size())
		}
	}
	if err != nil {
		return err
	}
	if b.result.Packed, err = out.Seek(0, io.SeekCurrent); err != nil {
		return err
	}
	return done()
}

// slotFrames writes the frames from the beginning of slot A up to end.
func (b *build) slotFrames(out io.Writer, f *frames, end int64) error {
	kept, err := b.Cache.Decoded(fmt.Sprintf("frames 1 %d %s", end, b.slotKey), func(w io.Writer) error { return f.write(w, slotAStart, end) })
	if err != nil {
		return err
	}
	defer kept.Close()
	_, err = io.Copy(out, kept)
	return err
}

// frames compresses parts of a disk.
type frames struct {
	in       io.ReaderAt
	size     int64
	ranges   []dataRange
	enc      *zstd.Encoder
	zeros    []byte            // a whole frame of them, compressed
	progress func(int64) error // an error ends the work
}

func newFrames(in io.ReaderAt, size int64, ranges []dataRange, progress func(int64) error) (*frames, error) {
	// One goroutine: how an encoder cuts its input may depend on their number.
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(mib))
	if err != nil {
		return nil, err
	}
	f := &frames{in: in, size: size, ranges: ranges, enc: enc, progress: progress}
	var zeros bytes.Buffer
	err = f.one(&zeros, bytes.NewReader(make([]byte, frame)))
	f.zeros = zeros.Bytes()
	return f, err
}

// write writes the frames from start, a multiple of a frame, to end.
func (f *frames) write(w io.Writer, start, end int64) error {
	for at := start; at < end; at += frame {
		size := min(frame, end-at)
		data := slices.ContainsFunc(f.ranges, func(r dataRange) bool { return r.start < at+size && at < r.end })
		var err error
		if !data && size == frame {
			_, err = w.Write(f.zeros)
		} else {
			err = f.one(w, io.NewSectionReader(f.in, at, size))
		}
		if err == nil {
			err = f.progress(at + size)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (f *frames) one(w io.Writer, r io.Reader) error {
	f.enc.Reset(w)
	if _, err := io.CopyBuffer(struct{ io.Writer }{f.enc}, struct{ io.Reader }{r}, make([]byte, mib)); err != nil {
		return err
	}
	return f.enc.Close()
}
