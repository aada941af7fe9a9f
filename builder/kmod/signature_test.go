package kmod

import (
	"bytes"
	"encoding/binary"
	"testing"
)

func TestUnsigned(t *testing.T) {
	ko := bytes.Repeat([]byte("module"), 100)
	signed := func(size uint32) []byte {
		b := append(bytes.Clone(ko), bytes.Repeat([]byte{7}, 300)...)
		b = append(b, 0, 0, 2, 0, 0, 0, 0, 0)
		b = binary.BigEndian.AppendUint32(b, size)
		return append(b, signatureMagic...)
	}
	if got := Unsigned(signed(300)); !bytes.Equal(got, ko) {
		t.Errorf("%d bytes are left of %d", len(got), len(ko))
	}
	for what, data := range map[string][]byte{"no signature": ko, "a length beyond the file": signed(1 << 30), "only the magic": []byte(signatureMagic), "nothing": nil} {
		if got := Unsigned(data); !bytes.Equal(got, data) {
			t.Errorf("%s: %d bytes of %d", what, len(got), len(data))
		}
	}
}
