package zstdblock

import (
	"bytes"
	"fmt"
	"math/rand/v2"
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
