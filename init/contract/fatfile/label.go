package fatfile

import (
	"io"
	"strings"
)

// Label returns the name of a FAT volume: that of the root directory, else that of the boot sector,
// which Windows does not keep up to date; "" if it has none.
func Label(r io.ReaderAt) (string, error) {
	v, err := open(r)
	if err != nil {
		return "", err
	}
	label, found := "", false
	err = v.list(v.rootFirst, true, func(b []byte) (done bool) {
		if b[0] == 0 {
			return true
		}
		if b[0] != 0xE5 && b[11]&0x3F != attrLong && b[11]&attrLabel != 0 {
			label, found = strings.TrimRight(string(b[:11]), " "), true
		}
		return found
	})
	if err != nil || found {
		return label, err
	}
	at := 43
	if v.bits == 32 {
		at = 71
	}
	b := alignedBuffer(sector)
	if err := readFull(r, b, 0); err != nil {
		return "", err
	}
	label = strings.TrimRight(string(b[at:at+11]), " ")
	if b[at-5] != 0x29 || label == "NO NAME" { // no extended boot signature, no label
		label = ""
	}
	return label, nil
}
