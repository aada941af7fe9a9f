package config

import (
	"bytes"
	"encoding/binary"
	"unicode/utf16"
)

// isWide reports whether a text is UTF-16, as Windows PowerShell's > and an old Notepad write it:
// by its mark, or because every other one of its first bytes is 0.
func isWide(data []byte) bool {
	if bytes.HasPrefix(data, []byte{0xff, 0xfe}) || bytes.HasPrefix(data, []byte{0xfe, 0xff}) {
		return true
	}
	return len(data) >= 4 && (data[0] == 0) == (data[2] == 0) && (data[1] == 0) == (data[3] == 0) && (data[0] == 0) != (data[1] == 0)
}

// narrow returns the UTF-8 of a text that isWide, without its mark.
func narrow(data []byte) []byte {
	var order binary.ByteOrder = binary.LittleEndian
	if data[0] == 0xfe || data[0] == 0 {
		order = binary.BigEndian
	}
	units := make([]uint16, 0, len(data)/2)
	for i := 0; i+1 < len(data); i += 2 {
		units = append(units, order.Uint16(data[i:]))
	}
	return bytes.TrimPrefix([]byte(string(utf16.Decode(units))), []byte("\ufeff"))
}
