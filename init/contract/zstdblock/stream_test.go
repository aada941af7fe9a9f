package zstdblock

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"testing"

	"github.com/klauspost/compress/zstd"

	"imgbuild/qemu/tool"
)

// stream is text with long repetitions, n bytes.
func stream(n int) []byte {
	r := rand.New(rand.NewChaCha8([32]byte{2}))
	var out []byte
	for len(out) < n {
		if len(out) > 5000 && r.IntN(10) == 0 {
			from := r.IntN(len(out) - 2000)
			out = append(out, out[from:from+r.IntN(2000)]...)
			continue
		}
		out = fmt.Appendf(out, "word%d ", r.IntN(3000))
	}
	return out[:n]
}

func writeStream(t testing.TB, src []byte, step int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := NewWriter(&b)
	for rest := src; len(rest) > 0; rest = rest[min(step, len(rest)):] {
		if n, err := w.Write(rest[:min(step, len(rest))]); err != nil || n != min(step, len(rest)) {
			t.Fatalf("write: %d, %v", n, err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestStreamRoundTrip(t *testing.T) {
	for _, n := range []int{0, 1, 100, Part - 1, Part, Part + 1, 2 * Part, 2*Part + 12345} {
		src := stream(n)
		out := writeStream(t, src, n+1)
		back, err := decoder.DecodeAll(out, nil)
		if err != nil || !bytes.Equal(back, src) {
			t.Errorf("%d bytes come back as %d: %v", n, len(back), err)
		}
		for _, step := range []int{4093, 64 << 10, Part} {
			if !bytes.Equal(writeStream(t, src, step), out) {
				t.Errorf("%d bytes in writes of %d give another frame", n, step)
			}
		}
	}
}

// TestStreamIsOneFrame: the kernel refuses what follows a frame ("junk at the end of compressed
// archive").
func TestStreamIsOneFrame(t *testing.T) {
	out := writeStream(t, stream(2*Part+12345), Part)
	var h zstd.Header
	if err := h.Decode(out); err != nil {
		t.Fatal(err)
	}
	if h.WindowSize != Part || !h.HasCheckSum || h.SingleSegment || h.HasFCS {
		t.Errorf("frame header %+v", h)
	}
	at := h.HeaderSize
	for last := false; !last; {
		v := uint32(out[at]) | uint32(out[at+1])<<8 | uint32(out[at+2])<<16
		last, at = v&1 == 1, at+3+int(v>>3)
	}
	if at+4 != len(out) {
		t.Errorf("the frame ends at %d, the stream has %d bytes", at+4, len(out))
	}
}

func TestStreamReferenceTool(t *testing.T) {
	src := stream(2*Part + 999)
	cmd := exec.Command(tool.Path(t, "zstd"), "-d", "-c")
	cmd.Stdin = bytes.NewReader(writeStream(t, src, 1<<16))
	back, err := cmd.Output()
	if err != nil || !bytes.Equal(back, src) {
		t.Errorf("zstd -d gives %d bytes of %d: %v", len(back), len(src), err)
	}
}

// TestStreamChecksum: a changed byte of the frame is noticed.
func TestStreamChecksum(t *testing.T) {
	out := writeStream(t, stream(50000), 1<<16)
	binary.LittleEndian.PutUint32(out[len(out)-4:], binary.LittleEndian.Uint32(out[len(out)-4:])^1)
	if _, err := decoder.DecodeAll(out, nil); err == nil {
		t.Error("a wrong checksum is accepted")
	}
}

// TestStreamVersion keeps StreamVersion in step with the output.
func TestStreamVersion(t *testing.T) {
	golden := map[int]string{2: "97b8e3b16c1abb45"}
	if got := fmt.Sprintf("%x", sha256.Sum256(writeStream(t, stream(2*Part+12345), Part)))[:16]; golden[StreamVersion] != got {
		t.Errorf("output of version %d hashes to %s, was %s: raise StreamVersion and enter the new hash", StreamVersion, got, golden[StreamVersion])
	}
}

func TestStreamErrors(t *testing.T) {
	broken := errors.New("broken")
	w := NewWriter(failing{broken})
	_, err := w.Write(make([]byte, 2*Part))
	if !errors.Is(err, broken) || !errors.Is(w.Close(), broken) {
		t.Errorf("write to a broken writer: %v", err)
	}
	w = NewWriter(io.Discard)
	w.Close()
	if _, err := w.Write([]byte("x")); err == nil {
		t.Error("a write after the end of the frame is accepted")
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }
