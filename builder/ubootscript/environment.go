package ubootscript

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strings"
)

// Environment makes a single-copy U-Boot environment of size bytes: a CRC32 (little endian, over
// the rest), NAME=VALUE strings that each end in NUL, an empty string, zeros. As uboot.env on the
// first partition of a Pi's card it replaces the built-in environment, it is not merged with it:
// what is not in vars is gone.
func Environment(vars map[string]string, size int) ([]byte, error) {
	if size < 8 {
		return nil, fmt.Errorf("U-Boot environment: a size of %d bytes is too small", size)
	}
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		value := vars[name]
		switch {
		case name == "" || strings.ContainsAny(name, "=\x00 "):
			return nil, fmt.Errorf("U-Boot environment: %q is not a name", name)
		case value == "":
			return nil, fmt.Errorf("U-Boot environment: %s is empty, which U-Boot reads as a deletion; leave it out", name)
		case strings.ContainsAny(value, "\x00\n\r"):
			return nil, fmt.Errorf("U-Boot environment: %s holds a NUL or a line break", name)
		}
		fmt.Fprintf(&text, "%s=%s\x00", name, value)
	}
	if need := 4 + text.Len() + 1; need > size {
		return nil, fmt.Errorf("U-Boot environment: needs %d bytes, there are %d", need, size)
	}
	out := make([]byte, size)
	copy(out[4:], text.String())
	binary.LittleEndian.PutUint32(out, crc32.ChecksumIEEE(out[4:]))
	return out, nil
}

// ParseEnvironment reads an environment back. Of several values of one name the last counts, an
// empty one deletes it.
func ParseEnvironment(data []byte) (map[string]string, error) {
	if len(data) < 8 {
		return nil, fmt.Errorf("U-Boot environment: %d bytes are too few", len(data))
	}
	if want, have := binary.LittleEndian.Uint32(data), crc32.ChecksumIEEE(data[4:]); want != have {
		return nil, fmt.Errorf("U-Boot environment: checksum %08x instead of %08x", have, want)
	}
	vars := map[string]string{}
	for rest := string(data[4:]); rest != ""; {
		var line string
		if line, rest, _ = strings.Cut(rest, "\x00"); line == "" {
			break
		}
		name, value, _ := strings.Cut(line, "=")
		if vars[name] = value; value == "" {
			delete(vars, name)
		}
	}
	return vars, nil
}
