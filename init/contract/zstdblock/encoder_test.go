package zstdblock

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"
)

var decoder, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))

func check(t testing.TB, e *Encoder, src []byte) []byte {
	t.Helper()
	out := e.Encode(nil, src)
	back, err := decoder.DecodeAll(out, nil)
	if err != nil {
		t.Fatalf("%d bytes: %v", len(src), err)
	}
	if !bytes.Equal(back, src) {
		t.Fatalf("%d bytes come back as %d others", len(src), len(back))
	}
	return out
}

// inputs are blocks of many kinds.
func inputs() map[string][]byte {
	r := rand.New(rand.NewChaCha8([32]byte{1}))
	list := map[string][]byte{"nothing": {}, "zeros": make([]byte, 256<<10), "a million zeros": make([]byte, MaxBlock)}
	for _, n := range []int{1, 2, 3, 4, 7, 8, 9, 31, 32, 33, 255, 256, 257, 1000, 1023, 1024, 8191, 8192, 8193, 16384, 65791, 65792, 200000, 256 << 10} {
		noise, text, skewed, two, runs := make([]byte, n), []byte{}, make([]byte, n), make([]byte, n), []byte{}
		for i := range n {
			noise[i] = byte(r.Uint32())
			skewed[i] = byte(r.ExpFloat64() * 20)
			two[i] = "ab"[r.IntN(2)]
		}
		for len(text) < n {
			text = fmt.Appendf(text, "word%d ", r.IntN(3000))
		}
		for len(runs) < n {
			runs = append(runs, bytes.Repeat([]byte{byte(r.IntN(4))}, 1+int(r.ExpFloat64()*200))...)
		}
		copied := bytes.Clone(noise)
		for i := 0; i+300 < n; i += 100 + r.IntN(1000) {
			from := r.IntN(i + 1)
			copy(copied[i:], copied[from:from+r.IntN(299)])
		}
		for name, b := range map[string][]byte{"noise": noise, "text": text[:n], "skewed": skewed, "two": two, "runs": runs[:n], "copied": copied} {
			list[fmt.Sprint(name, " ", n)] = b
		}
	}
	return list
}

func TestRoundTrip(t *testing.T) {
	var e Encoder
	for name, src := range inputs() {
		t.Run(name, func(t *testing.T) {
			out := check(t, &e, src)
			var fresh Encoder
			if len(src) < 10000 && !bytes.Equal(fresh.Encode(nil, src), out) {
				t.Error("a fresh encoder gives other bytes")
			}
		})
	}
}

// TestVersion keeps Version in step with the output: caches hold frames by it.
func TestVersion(t *testing.T) {
	list := inputs()
	h := sha256.New()
	var e Encoder
	for _, name := range slices.Sorted(maps.Keys(list)) {
		h.Write(e.Encode(nil, list[name]))
	}
	golden := map[int]string{3: "4bbe9f575091da72"}
	if got := fmt.Sprintf("%x", h.Sum(nil)[:8]); golden[Version] != got {
		t.Errorf("output of version %d hashes to %s, was %s: raise Version and enter the new hash", Version, got, golden[Version])
	}
}

// TestSize compares with the best that klauspost's encoder does; the point of this one is to be
// smaller.
func TestSize(t *testing.T) {
	best, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false))
	if err != nil {
		t.Fatal(err)
	}
	var e Encoder
	for name, src := range inputs() {
		ours, theirs := len(e.Encode(nil, src)), len(best.EncodeAll(src, nil))
		// Noise that was copied once from far away needs larger tables than programs do.
		if ours > theirs+theirs/25+1000 {
			t.Errorf("%s: %d bytes, klauspost's best has %d", name, ours, theirs)
		}
		if ours > len(src)+3*(len(src)/maxPart+1)+9 {
			t.Errorf("%s: %d bytes grow to %d", name, len(src), ours)
		}
	}
}

// TestLongSequences has matches and literals longer than a zstd block may be.
func TestLongSequences(t *testing.T) {
	noise := make([]byte, 200<<10)
	rand.NewChaCha8([32]byte{7}).Read(noise)
	var e Encoder
	for _, cut := range []int{0, 1, 2, 3, 100} {
		check(t, &e, slices.Concat(noise, noise[cut:], []byte("x"), noise[:len(noise)-cut]))
	}
}

func TestTooLong(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a block beyond MaxBlock is accepted")
		}
	}()
	new(Encoder).Encode(nil, make([]byte, MaxBlock+1))
}

// FuzzEncode repeats and mixes the input, so that small seeds make long matches.
func FuzzEncode(f *testing.F) {
	for _, name := range []string{"text 1000", "copied 8193", "runs 1024", "skewed 1000", "noise 257", "two 33"} {
		f.Add(inputs()[name], uint16(3))
	}
	var e Encoder
	f.Fuzz(func(t *testing.T, src []byte, times uint16) {
		check(t, &e, src)
		long := bytes.Repeat(src, 1+int(times)%64)
		for i := range long {
			if i%int(times%997+3) == 0 {
				long[i] ^= byte(i >> 5)
			}
		}
		check(t, &e, long[:min(len(long), 300<<10)])
	})
}

func BenchmarkEncode(b *testing.B) {
	src := inputs()["copied 262144"]
	var e Encoder
	var dst []byte
	b.SetBytes(int64(len(src)))
	for b.Loop() {
		dst = e.Encode(dst[:0], src)
	}
}
