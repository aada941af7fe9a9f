package config

import (
	"encoding/binary"
	"encoding/hex"
	"strings"
	"unicode/utf16"

	//lint:ignore SA1019 an NT hash is MD4 by definition ([MS-NLMP] 3.3.1)
	"golang.org/x/crypto/md4"
)

// NTHash returns the NT hash of a password, 32 hex digits: MD4 over its UTF-16, little endian
// (MS-NLMP 3.3.1, NTOWFv1). SMB knows no other; it is enough to log in.
func NTHash(password string) string {
	h := md4.New()
	for _, c := range utf16.Encode([]rune(password)) {
		var b [2]byte
		binary.LittleEndian.PutUint16(b[:], c)
		h.Write(b[:])
	}
	return strings.ToUpper(hex.EncodeToString(h.Sum(nil)))
}
