package blockcache

import (
	"crypto/sha256"
	"os"
)

// Blocks is the store of compressed blocks; it has the shape of squashfs.Cache.
type Blocks struct{ c *Cache }

// Blocks gives the store of compressed blocks.
func (c *Cache) Blocks() Blocks { return Blocks{c} }

// Get gives the block stored under key. A block that does not match its own sum is removed and absent.
func (b Blocks) Get(key [32]byte) ([]byte, bool) {
	name := b.c.path("block", key)
	raw, err := os.ReadFile(name)
	if err != nil {
		return nil, false
	}
	if len(raw) < 32 || sha256.Sum256(raw[32:]) != [32]byte(raw[:32]) {
		os.Remove(name)
		return nil, false
	}
	return raw[32:], true
}

// Put stores a block. A block that cannot be stored is only a loss of time, so errors are not told.
func (b Blocks) Put(key [32]byte, data []byte) {
	sum := sha256.Sum256(data)
	_ = b.c.write(b.c.path("block", key), sum[:], data)
}
