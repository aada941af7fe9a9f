// Package verity builds the hash tree of dm-verity: SHA-256, blocks of 4096 bytes on both sides,
// format 1, without a superblock.
//
// The layout is that of the kernel's Documentation/admin-guide/device-mapper/verity.rst and of
// veritysetup --no-superblock: every block's hash is sha256(salt || block), a hash block holds 128
// hashes and is filled up with zeros, and the levels are in the tree from the top one down to the
// leaves. The top level is one block; its hash is the root.
package verity

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"runtime"
)

// BlockSize is the size in bytes of data blocks and of hash blocks.
const BlockSize = 4096

const (
	hashSize  = sha256.Size
	perBlock  = BlockSize / hashSize
	maxSalt   = 256            // bytes; the limit of the kernel and veritysetup
	maxBlocks = 1 << 31        // 8 TiB; more is a mistake of the caller
	chunk     = 64 * BlockSize // bytes that a worker hashes at a time
)

// Build reads size bytes of data, writes their hash tree to w and returns the root hash and the
// bytes written. size must be a multiple of BlockSize. The leaf level is hashed on all cores. One
// block of data needs no tree: its own hash is the root, and nothing is written. No data at all is
// an error, for the kernel maps no empty target.
func Build(data io.ReaderAt, size int64, salt []byte, w io.Writer) (root [32]byte, treeSize int64, err error) {
	switch {
	case size <= 0:
		return root, 0, fmt.Errorf("verity: no data to hash: size %d", size)
	case size%BlockSize != 0:
		return root, 0, fmt.Errorf("verity: size %d is not a multiple of %d", size, BlockSize)
	case size/BlockSize > maxBlocks:
		return root, 0, fmt.Errorf("verity: size %d is beyond the limit of %d", size, int64(maxBlocks)*BlockSize)
	case len(salt) > maxSalt:
		return root, 0, fmt.Errorf("verity: salt of %d bytes; at most %d are possible", len(salt), maxSalt)
	}
	leaves, err := hashLeaves(data, size, salt)
	if err != nil {
		return root, 0, fmt.Errorf("verity: %w", err)
	}
	levels := [][]byte{leaves}
	for level := leaves; len(level) > hashSize; {
		level = hashLevel(level, salt)
		levels = append(levels, level)
	}
	// The last level is the root itself, which is not a part of the tree.
	top := len(levels) - 1
	copy(root[:], levels[top])
	for i := top - 1; i >= 0; i-- {
		n, err := w.Write(padded(levels[i]))
		treeSize += int64(n)
		if err != nil {
			return root, treeSize, fmt.Errorf("verity: writing the hash tree: %w", err)
		}
	}
	return root, treeSize, nil
}

// hashLevel hashes the blocks of a level into the level above.
func hashLevel(level, salt []byte) []byte {
	level = padded(level)
	up := make([]byte, 0, len(level)/perBlock)
	h := newHasher(salt)
	for ; len(level) > 0; level = level[BlockSize:] {
		up = h.sum(up, level[:BlockSize])
	}
	return up
}

func padded(level []byte) []byte {
	if short := len(level) % BlockSize; short != 0 {
		level = append(level[:len(level):len(level)], bytes.Repeat([]byte{0}, BlockSize-short)...)
	}
	return level
}

// hasher hashes blocks after a salt.
type hasher struct {
	hash hash.Hash
	salt []byte
}

func newHasher(salt []byte) *hasher { return &hasher{sha256.New(), salt} }

func (h *hasher) sum(dst, block []byte) []byte {
	h.hash.Reset()
	h.hash.Write(h.salt)
	h.hash.Write(block)
	return h.hash.Sum(dst)
}

func workers(chunks int64) int64 { return min(int64(runtime.GOMAXPROCS(0)), chunks) }
