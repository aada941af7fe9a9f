package fat

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxName is the longest long name, in UTF-16 units.
const maxName = 255

// shortName is a directory entry's own name: 8 characters and 3, padded with spaces, upper case.
type shortName [11]byte

// checkName returns why a name cannot be one component of a path; nil if it can.
func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("a name is empty")
	case name == "." || name == "..":
		return fmt.Errorf("%q is not a name", name)
	case !utf8.ValidString(name):
		return fmt.Errorf("name %q is not UTF-8", name)
	case len(utf16.Encode([]rune(name))) > maxName:
		return fmt.Errorf("name %q is longer than %d UTF-16 units", name, maxName)
	case strings.HasSuffix(name, ".") || strings.HasSuffix(name, " "):
		return fmt.Errorf("name %q ends with a dot or a space, which readers drop", name)
	}
	for _, r := range name {
		if r < 0x20 || r == 0x7f || strings.ContainsRune(`"*/:<>?\|`, r) {
			return fmt.Errorf("name %q: %q is not allowed in FAT", name, r)
		}
	}
	return nil
}

// fold returns the key under which two names are the same name.
func fold(name string) string { return strings.ToLower(strings.ToUpper(name)) }

// shortChar reports whether c may be in a short name; lower case letters may not.
func shortChar(c byte) bool {
	return c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("$%'-_@~`!(){}^#&", c) >= 0
}

// exactShort returns the short name that is name in another case: "config.txt" is CONFIG.TXT.
// ok is false if name is too long or has characters that a short name cannot hold.
func exactShort(name string) (s shortName, ok bool) {
	base, ext, dot := strings.Cut(strings.ToUpper(name), ".")
	if base == "" || len(base) > 8 || len(ext) > 3 || dot && ext == "" || notASCII(name) {
		return s, false
	}
	copy(s[:], "           ")
	for i, c := range []byte(base) {
		if !shortChar(c) {
			return s, false
		}
		s[i] = c
	}
	for i, c := range []byte(ext) {
		if !shortChar(c) {
			return s, false
		}
		s[8+i] = c
	}
	return s, true
}

// notASCII reports whether name has letters outside ASCII; some of them turn into ASCII in upper
// case.
func notASCII(name string) bool {
	return strings.IndexFunc(name, func(r rune) bool { return r >= utf8.RuneSelf }) >= 0
}

// needsLong reports whether name cannot be read from its short name alone. Lower case counts:
// Linux, U-Boot and desktops show it from the long name, and readers that only know short names
// compare without case.
func needsLong(name string) bool {
	_, ok := exactShort(name)
	return !ok || name != strings.ToUpper(name)
}

// tailShort makes the n-th (1, 2, ..) numbered short name of a long one: "bcm2711-rpi-4-b.dtb" is
// BCM271~1.DTB. Characters that a short name cannot hold become an underscore; spaces and inner
// dots are dropped.
func tailShort(name string, n int) (s shortName) {
	base, ext := name, ""
	if i := strings.LastIndexByte(strings.TrimLeft(name, "."), '.'); i >= 0 {
		i += len(name) - len(strings.TrimLeft(name, "."))
		base, ext = name[:i], name[i+1:]
	}
	copy(s[:], "           ")
	tail := "~" + strconv.Itoa(n)
	at := copy(s[:8-len(tail)], reduce(base))
	copy(s[at:8], tail)
	copy(s[8:], reduce(ext))
	return s
}

func reduce(part string) string {
	var b strings.Builder
	for _, r := range part {
		switch {
		case r == ' ' || r == '.':
		case r >= 'a' && r <= 'z':
			b.WriteByte(byte(r) - 'a' + 'A')
		case r < utf8.RuneSelf && shortChar(byte(r)):
			b.WriteByte(byte(r))
		default:
			b.WriteByte('_')
		}
	}
	return b.String()
}

// checksum ties a long name's entries to their short name (specification, section 7.2).
func (s shortName) checksum() (sum byte) {
	for _, c := range s {
		sum = sum<<7 | sum>>1
		sum += c
	}
	return sum
}
