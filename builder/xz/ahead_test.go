package xz_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"imgbuild/builder/xz"
)

func unpackParallel(packed []byte, n int) ([]byte, error) {
	z := xz.NewReader(bytes.NewReader(packed), limit)
	defer z.Close()
	z.Parallel(n)
	return io.ReadAll(z)
}

func TestParallel(t *testing.T) {
	for name, plain := range samples(t) {
		sized, other := pack(t, plain, "-1 -T2 --block-size=200KiB"), pack(t, plain, "-1 -T1 --block-size=200KiB")
		for _, n := range []int{1, 2, 50} {
			for _, packed := range [][]byte{sized, other, bytes.Join([][]byte{sized, other, sized}, nil)} {
				want := bytes.Repeat(plain, 1)
				if len(packed) > max(len(sized), len(other)) {
					want = bytes.Repeat(plain, 3)
				}
				if got, err := unpackParallel(packed, n); err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s, %d blocks ahead: %v, %d bytes, want %d", name, n, err, len(got), len(want))
				}
			}
		}
	}
}

func TestParallelDamage(t *testing.T) {
	plain := samples(t)["text"][:5_000]
	packed := pack(t, plain, "--check=crc32 -T2 --block-size=1500")
	for i := range packed {
		if got, err := unpackParallel(packed[:i], 3); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut at %d of %d: %d bytes, %v", i, len(packed), len(got), err)
		}
		packed[i] ^= 0x11
		got, err := unpackParallel(packed, 3)
		if err == nil && bytes.Equal(got, plain) {
			t.Logf("byte %d of %d altered makes no difference", i, len(packed))
		} else if !errors.Is(err, xz.ErrDamaged) && !errors.Is(err, xz.ErrUnsupported) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("byte %d of %d altered: %d bytes, %v", i, len(packed), len(got), err)
		}
		packed[i] ^= 0x11
	}
	z := xz.NewReader(bytes.NewReader(packed), limit)
	z.Parallel(2)
	if _, err := z.Read(make([]byte, 1)); err != nil {
		t.Error(err)
	}
	z.Close() // with a block in work
}
