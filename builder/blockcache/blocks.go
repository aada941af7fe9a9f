package blockcache

import (
	"encoding/binary"
	"hash/crc32"
	"os"
)

// Blocks is the store of compressed blocks; it has the shape of squashfs.Cache.
type Blocks struct{ c *Cache }

// Blocks returns the store of compressed blocks.
func (c *Cache) Blocks() Blocks { return Blocks{c} }

// Get returns the block stored under key. A block that does not match its sum is removed and
// absent.
func (b Blocks) Get(key [32]byte) ([]byte, bool) {
	name := b.c.path("block", key)
	raw, err := os.ReadFile(name)
	if err != nil {
		return nil, false
	}
	if len(raw) < 4 || crc32.Checksum(raw[4:], castagnoli) != binary.BigEndian.Uint32(raw) {
		os.Remove(name)
		return nil, false
	}
	used(name)
	return raw[4:], true
}

// Put stores a block. A block that cannot be stored is only a loss of time, so errors are not
// reported.
func (b Blocks) Put(key [32]byte, data []byte) {
	sum := binary.BigEndian.AppendUint32(nil, crc32.Checksum(data, castagnoli))
	_ = b.c.write(b.c.path("block", key), sum, data)
}
