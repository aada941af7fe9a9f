package image

import (
	"bytes"
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"

	"imgbuild/builder/blockcache"
)

// The slot's frames are taken from the cache, and the packed image is then the same, byte for byte,
// as one that is packed without a cache; what is around the slot is always that of the disk.
func TestSlotFrames(t *testing.T) {
	cache, err := blockcache.Open(filepath.Join(t.TempDir(), "cache"))
	if err != nil {
		t.Fatal(err)
	}
	slot := make([]byte, 20*mib)
	rand.NewChaCha8([32]byte{1}).Read(slot)
	size := int64(slotAStart + 3*frame + 5*mib + 512) // the last frame is a short one
	pack := func(cache *blockcache.Cache, boot, slot, data []byte) (packed [sha256.Size]byte) {
		t.Helper()
		b := &build{temp: t.TempDir()}
		b.Cache = cache
		if cache != nil {
			b.slotKey, b.slotEnd = "the slot of the test", slotAStart+2*frame
		}
		f, err := os.Create(b.path("disk.img"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		parts := map[int64][]byte{bootStart: boot, slotAStart: slot, slotAStart + 2*frame: data}
		for at, p := range parts {
			if _, err := f.WriteAt(p, at); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.Truncate(size); err != nil {
			t.Fatal(err)
		}
		if err := b.pack(t.Context()); err != nil {
			t.Fatal(err)
		}
		out, err := os.ReadFile(b.path("disk.img.zst"))
		if err != nil {
			t.Fatal(err)
		}
		if b.result.Packed != int64(len(out)) {
			t.Errorf("got %d bytes packed, the file has %d", b.result.Packed, len(out))
		}
		r, err := zstd.NewReader(bytes.NewReader(out))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		got := make([]byte, mib)
		for at := int64(0); at < size; at += mib {
			n, err := io.ReadFull(r, got[:min(mib, size-at)])
			want := make([]byte, n)
			if _, err2 := f.ReadAt(want, at); err != nil || err2 != nil || cache == nil && !bytes.Equal(got[:n], want) {
				t.Fatalf("at %d it unpacks to something else: %v, %v", at, err, err2)
			}
		}
		if n, err := r.Read(got); n != 0 || err != io.EOF {
			t.Errorf("after the disk there are %d bytes more: %v", n, err)
		}
		return sha256.Sum256(out)
	}
	for _, boot := range []string{"a", "b"} {
		boot := bytes.Repeat([]byte(boot), 3*mib)
		if got, fresh := pack(cache, boot, slot, boot[:100]), pack(nil, boot, slot, boot[:100]); got != fresh {
			t.Errorf("with the cache the packed bytes are others: %x, want %x", got, fresh)
		}
	}
	// That the cache is used shows where the slot is another under the same key.
	kept, again := pack(cache, []byte("a"), slot, []byte("x")), pack(cache, []byte("a"), slot[:mib], []byte("x"))
	if again != kept {
		t.Error("the frames of the slot were made again")
	}
}
