package verity

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"
)

// hashLeaves hashes the blocks of data on all cores. Each worker takes the next chunk and writes
// its hashes where they belong, so the result does not depend on their speed.
func hashLeaves(data io.ReaderAt, size int64, salt []byte) ([]byte, error) {
	leaves := make([]byte, size/BlockSize*hashSize)
	chunks := (size + chunk - 1) / chunk
	var next atomic.Int64
	var wait sync.WaitGroup
	var once sync.Once
	var failed error
	for range workers(chunks) {
		wait.Go(func() {
			h, buf := newHasher(salt), make([]byte, chunk)
			for {
				at := (next.Add(1) - 1) * chunk
				if at >= size {
					return
				}
				part := buf[:min(chunk, size-at)]
				if n, err := data.ReadAt(part, at); n < len(part) {
					once.Do(func() { failed = fmt.Errorf("reading data at %d: %w", at+int64(n), err) })
					next.Store(chunks)
					return
				}
				hashes := leaves[at/BlockSize*hashSize:][:0]
				for ; len(part) > 0; part = part[BlockSize:] {
					hashes = h.sum(hashes, part[:BlockSize])
				}
			}
		})
	}
	wait.Wait()
	return leaves, failed
}
