// Package ubootscript writes what U-Boot reads before it boots: a script as a legacy image and an
// environment block.
//
// Sources: U-Boot's include/image.h (legacy_img_hdr, and IH_TYPE_SCRIPT's table of lengths) and
// env/common.c.
package ubootscript

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
)

// Fields of the legacy header, all big endian. `source` looks at the magic, both checksums and the
// type only.
const (
	headerSize = 64
	magic      = 0x27051956
	osLinux    = 5
	archARM    = 2
	typeScript = 6
	nameSize   = 32
)

// scriptName is the name in the header.
const scriptName = "boot script"

// Image wraps a script as mkimage -T script does. time, in seconds since 1970, is the header's only
// free field.
func Image(script string, time uint32) []byte {
	out := make([]byte, headerSize, headerSize+8+len(script))
	out = binary.BigEndian.AppendUint32(out, uint32(len(script)))
	out = binary.BigEndian.AppendUint32(out, 0) // the table of lengths ends
	out = append(out, script...)
	data := out[headerSize:]

	be := binary.BigEndian
	be.PutUint32(out[0:], magic)
	be.PutUint32(out[8:], time)
	be.PutUint32(out[12:], uint32(len(data)))
	be.PutUint32(out[24:], crc32.ChecksumIEEE(data))
	out[28], out[29], out[30], out[31] = osLinux, archARM, typeScript, 0
	copy(out[32:headerSize], scriptName)
	be.PutUint32(out[4:], crc32.ChecksumIEEE(out[:headerSize])) // over the header with this field zero
	return out
}

// Parse reads a script image back: its text and time. Errors name the wrong part.
func Parse(image []byte) (script string, time uint32, err error) {
	be := binary.BigEndian
	if len(image) < headerSize+8 {
		return "", 0, fmt.Errorf("U-Boot script image: %d bytes are too few", len(image))
	}
	if m := be.Uint32(image); m != magic {
		return "", 0, fmt.Errorf("U-Boot script image: magic %08x instead of %08x", m, magic)
	}
	header := append([]byte(nil), image[:headerSize]...)
	be.PutUint32(header[4:], 0)
	if crc32.ChecksumIEEE(header) != be.Uint32(image[4:]) {
		return "", 0, errors.New("U-Boot script image: the header does not match its checksum")
	}
	if image[30] != typeScript {
		return "", 0, fmt.Errorf("U-Boot script image: type %d is not a script", image[30])
	}
	size := be.Uint32(image[12:])
	if uint64(size) != uint64(len(image)-headerSize) {
		return "", 0, fmt.Errorf("U-Boot script image: %d bytes of data instead of %d", len(image)-headerSize, size)
	}
	data := image[headerSize:]
	if crc32.ChecksumIEEE(data) != be.Uint32(image[24:]) {
		return "", 0, errors.New("U-Boot script image: the data does not match its checksum")
	}
	if n := be.Uint32(data); uint64(n) != uint64(len(data)-8) || be.Uint32(data[4:]) != 0 {
		return "", 0, fmt.Errorf("U-Boot script image: the table has %d bytes, there are %d", n, len(data)-8)
	}
	if strings.ContainsRune(string(data[8:]), 0) {
		return "", 0, errors.New("U-Boot script image: a NUL in the text, where U-Boot would stop reading")
	}
	return string(data[8:]), be.Uint32(image[8:]), nil
}
