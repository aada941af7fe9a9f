package xz_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	old "github.com/therootcompany/xz"
	"golang.org/x/sys/unix"

	"imgbuild/builder/xz"
)

// FuzzLikeOther compares with a reader that others wrote.
func FuzzLikeOther(f *testing.F) {
	s := samples(f)
	for _, name := range []string{"empty", "one byte", "text", "mixed", "periods"} {
		plain := s[name][:min(len(s[name]), 20_000)]
		f.Add(pack(f, plain, "-6"))
		f.Add(pack(f, plain, "--check=crc32 --lzma2=lc=0,lp=2,pb=1"))
		f.Add(pack(f, plain, "--check=sha256 -T2 --block-size=4KiB"))
	}
	f.Fuzz(func(t *testing.T, packed []byte) {
		const limit = 1 << 22
		got, err := unpack(packed, limit)
		r, fault := old.NewReader(bytes.NewReader(packed), limit)
		var want []byte
		if fault == nil {
			want, fault = io.ReadAll(r)
		}
		switch {
		case err == nil && (fault != nil || !bytes.Equal(got, want)):
			t.Fatalf("%d bytes; the other: %d, %v", len(got), len(want), fault)
		case err != nil && fault == nil && !errors.Is(err, xz.ErrUnsupported):
			t.Fatalf("%v; the other: %d bytes", err, len(want))
		}
	})
}

// BenchmarkDecode decodes in turns by this reader and the other one, and reports the ratio of the
// processor's time.
func BenchmarkDecode(b *testing.B) {
	s := samples(b)
	for _, name := range []string{"program", "text", "mixed"} {
		packed := pack(b, s[name], "-6")
		b.Run(name, func(b *testing.B) {
			b.SetBytes(2 * int64(len(s[name])))
			z, err := old.NewReader(bytes.NewReader(packed), limit)
			if err != nil {
				b.Fatal(err)
			}
			var this, other time.Duration
			for b.Loop() {
				before := cpu(b)
				if _, err := unpack(packed, limit); err != nil {
					b.Fatal(err)
				}
				between := cpu(b)
				if err := z.Reset(bytes.NewReader(packed)); err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(new(bytes.Buffer), z); err != nil {
					b.Fatal(err)
				}
				this, other = this+between-before, other+cpu(b)-between
			}
			b.ReportMetric(this.Seconds()/other.Seconds(), "of-the-other")
		})
	}
}

func cpu(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
