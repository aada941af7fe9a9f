package kmod

import (
	"bytes"
	"encoding/binary"
)

// signatureMagic ends a signed module: include/linux/module_signature.h.
const signatureMagic = "~Module signature appended~\n"

// Unsigned returns a plain module without the signature that is appended to it. Checking one costs
// the kernel more than everything else about loading a module, at each boot, and its 700 bytes do
// not compress; in a slot the root hash of the verity tree vouches for every byte. A module without
// a signature comes back as it is.
func Unsigned(ko []byte) []byte {
	body, ok := bytes.CutSuffix(ko, []byte(signatureMagic))
	// struct module_signature: five bytes, three of padding, the length of the signature in big
	// endian.
	const trailer = 12
	if !ok || len(body) < trailer {
		return ko
	}
	size := int(binary.BigEndian.Uint32(body[len(body)-4:]))
	if size < 0 || size > len(body)-trailer {
		return ko
	}
	return body[:len(body)-trailer-size]
}
