package medium

import (
	"bytes"
	"context"
	"crypto/sha256"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"imgbuild/init/contract/fault"
	"imgbuild/init/upgrade/slot"
)

// Data that package slot writes through it in pieces of any size, in any order, is read back past
// the cache.
func TestPartition(t *testing.T) {
	path := filepath.Join(t.TempDir(), "partition")
	if err := os.WriteFile(path, bytes.Repeat([]byte{0xaa}, 4<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	rng := rand.New(rand.NewPCG(1, 2))
	data := make([]byte, 3<<20+512)
	for i := range data {
		data[i] = byte(rng.Uint32() | 1)
	}
	s := slot.System{Size: int64(len(data)), SHA256: sha256.Sum256(data), Fill: func(_ context.Context, w slot.Partition, _ bool) (first [slot.Sector]byte, err error) {
		var cuts []int
		for at := slot.Sector; at < len(data); at += 1 + rng.IntN(256<<10) {
			cuts = append(cuts, at)
		}
		for _, i := range rng.Perm(len(cuts)) {
			end := len(data)
			if i+1 < len(cuts) {
				end = cuts[i+1]
			}
			if _, err := w.WriteAt(data[cuts[i]:end], int64(cuts[i])); err != nil {
				return first, err
			}
		}
		copy(first[:], data)
		return first, nil
	}}
	if err := slot.Write(t.Context(), p, slot.Area{Size: p.Size()}, s, nil); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got[:len(data)], data) || bytes.Count(got[len(data):], []byte{0xaa}) != 4<<20-len(data) {
		t.Errorf("the partition holds something else: %v", err)
	}
	for _, off := range []int64{-1, p.Size() - 3, p.Size()} {
		if _, err := p.WriteAt(make([]byte, 4), off); err == nil {
			t.Errorf("a write at %d is taken", off)
		}
	}
}

func TestOpen(t *testing.T) {
	if _, err := Open(filepath.Join(t.TempDir(), "none")); fault.Code(err) != int(fault.Device) {
		t.Errorf("got %v", err)
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(empty); fault.Code(err) != int(fault.Device) {
		t.Errorf("got %v", err)
	}
}
