package xz

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"hash/crc32"
	"hash/crc64"
)

// Kinds of the check of a block.
const (
	checkNone   = 0
	checkCRC32  = 1
	checkCRC64  = 4
	checkSHA256 = 10
)

var ecma = crc64.MakeTable(crc64.ECMA)

// checksum is the check of one block.
type checksum struct {
	kind byte
	c32  uint32
	c64  uint64
	sha  hash.Hash
}

// begin returns an error for a kind that is not known.
func (c *checksum) begin(kind byte) error {
	c.kind, c.c32, c.c64 = kind, 0, 0
	switch kind {
	case checkNone, checkCRC32, checkCRC64:
	case checkSHA256:
		c.sha = sha256.New()
	default:
		return unsupported("a check of kind %d (0, 1, 4 and 10 are known)", kind)
	}
	return nil
}

func (c *checksum) update(p []byte) {
	switch c.kind {
	case checkCRC32:
		c.c32 = crc32.Update(c.c32, crc32.IEEETable, p)
	case checkCRC64:
		c.c64 = crc64.Update(c.c64, ecma, p)
	case checkSHA256:
		c.sha.Write(p)
	}
}

// sum is the check as it is in the file.
func (c *checksum) sum() []byte {
	switch c.kind {
	case checkCRC32:
		return binary.LittleEndian.AppendUint32(nil, c.c32)
	case checkCRC64:
		return binary.LittleEndian.AppendUint64(nil, c.c64)
	case checkSHA256:
		return c.sha.Sum(nil)
	}
	return nil
}
