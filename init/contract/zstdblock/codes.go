package zstdblock

import "math/bits"

// Codes of literal lengths and match lengths: from a base value on, with a number of extra bits;
// RFC 8878, 3.1.1.3.2.1.1.
var (
	literalBase = [36]uint32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 20, 22, 24, 28, 32, 40, 48, 64, 128, 256, 512,
		1024, 2048, 4096, 8192, 16384, 32768, 65536}
	literalBits = [36]uint8{16: 1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	matchBase   = [53]uint32{3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31,
		32, 33, 34, 35, 37, 39, 41, 43, 47, 51, 59, 67, 83, 99, 131, 259, 515, 1027, 2051, 4099, 8195, 16387, 32771, 65539}
	matchBits = [53]uint8{32: 1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}

	literalCodes = codesBelow(64, literalBase[:])
	matchCodes   = codesBelow(131, matchBase[:])
)

func codesBelow(n int, base []uint32) []uint8 {
	list := make([]uint8, n)
	for v := range list {
		for c, b := range base {
			if uint32(v) >= b {
				list[v] = uint8(c)
			}
		}
	}
	return list
}

func literalCode(n uint32) uint8 {
	if n < 64 {
		return literalCodes[n]
	}
	return uint8(bits.Len32(n)) + 18
}

func matchCode(n uint32) uint8 {
	if n < 131 {
		return matchCodes[n]
	}
	return uint8(bits.Len32(n-3)) + 35
}

func offsetCode(v uint32) uint8 { return uint8(bits.Len32(v)) - 1 }

// The predefined distributions, RFC 8878, 3.1.1.3.2.2.
var (
	predefinedLiteral = predefined(6, 4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1, -1, -1, -1)
	predefinedOffset  = predefined(5, 1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1)
	predefinedMatch   = predefined(6, 1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
		1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1)
)

func predefined(log uint, norm ...int16) *fseTable {
	t := &fseTable{log: log, top: len(norm)}
	copy(t.norm[:], norm)
	t.set()
	return t
}
