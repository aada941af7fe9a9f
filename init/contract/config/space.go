package config

import (
	"bytes"

	"imgbuild/init/contract/fault"
)

// A file on the boot partition never changes its length on a running node, so the images bring
// config.yaml with space for later changes: a comment at its end.
const (
	spaceLine  = "# Space for changes by imgbuild apply, which writes in place."
	spaceLeast = 1 << 10
	spaceAlign = 4 << 10
)

// WithSpace returns text with space after it, as an image has it on BOOT. A text that is none of
// single bytes stays as it is.
func WithSpace(text []byte) []byte {
	size := (len(text) + spaceLeast + spaceAlign - 1) / spaceAlign * spaceAlign
	if out := fill(text, size); out != nil && size <= MaxSize {
		return out
	}
	return text
}

// fill returns text in size bytes; nil if it does not fit.
func fill(text []byte, size int) []byte {
	if len(text) > size || len(text) < size && bytes.IndexByte(text, 0) >= 0 { // UTF-16
		return nil
	}
	out := bytes.Clone(text)
	if len(out) < size && !bytes.HasSuffix(out, []byte("\n")) {
		out = append(out, '\n')
	}
	rest := size - len(out)
	if rest == 0 {
		return out
	}
	line := bytes.Repeat([]byte{' '}, rest)
	line[rest-1] = '\n'
	if rest > 1 {
		line[0] = '#'
	}
	if rest > len(spaceLine) {
		copy(line, spaceLine)
	}
	return append(out, line...)
}

// withoutSpace takes such comments off the end again.
func withoutSpace(text []byte) []byte {
	for {
		at := bytes.LastIndexByte(bytes.TrimSuffix(text, []byte("\n")), '\n') + 1
		line := bytes.TrimRight(text[at:], " \r\n")
		if at == 0 || !bytes.Equal(line, []byte("#")) && !bytes.Equal(line, []byte(spaceLine)) {
			return text
		}
		text = text[:at]
	}
}

// ForBoot returns what is to be on BOOT in the place of a configuration of size bytes: text with
// its secrets blanked, filled up to that length, and verified to mean the same. The error is of
// kind fault.Input.
func ForBoot(text []byte, size int) ([]byte, error) {
	bare := withoutSpace(text)
	blank, _, err := Blank(Native, bare)
	if err != nil {
		return nil, err
	}
	out := fill(blank, size)
	if out == nil {
		return nil, fault.New(fault.Input, "write it there as well when the card is in a computer", "config.yaml on the boot partition has %d bytes, and %d are wanted", size, len(bare))
	}
	before, _ := secretsOf(Native, text)
	after, _ := secretsOf(Native, out)
	if !sameButMoved(before, after) {
		return nil, fault.New(fault.Input, "write it there when the card is in a computer", "it cannot be written to the boot partition without changing its meaning")
	}
	return out, nil
}
