// Package codec has the encoders whose output a slot is made of. The builder runs them to make a
// slot, the node to make the same bytes again out of a delta, so name and version of each are in
// a bundle.
//
// Every encoder gives the same bytes for the same input on all processors and however the input is
// cut into writes.
package codec

import (
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"

	"imgbuild/init/contract/zstdblock"
)

// Kind is what a piece of a slot is and how it is stored. The numbers are part of the bundle
// format.
type Kind uint8

// The kinds of pieces.
const (
	Raw    Kind = 0 // stored as it is
	Zeros  Kind = 1 // nothing but zeros, never sent
	Gzip   Kind = 2 // the kernel of arm64
	Stream Kind = 3 // the initramfs
	Block  Kind = 4 // a data or fragment block of the squashfs
	Meta   Kind = 5 // a metadata block of the squashfs: its 2-byte header and a frame
	Tree   Kind = 6 // the verity tree, computed from the root and never sent
	kinds       = 7
)

// String returns the kind's name for messages.
func (k Kind) String() string {
	names := [kinds]string{"raw", "zeros", "gzip", "zstd stream", "squashfs block", "squashfs metadata", "verity tree"}
	if int(k) >= len(names) {
		return fmt.Sprintf("kind %d", k)
	}
	return names[k]
}

// Encoder is a way to make bytes, by name. Two of the same name and version give the same bytes.
type Encoder struct {
	Name    string `json:"name"`
	Version int    `json:"version"`
}

// gzipVersion is raised when GzipWriter gives other bytes: with another release of its module, or
// another level.
const gzipVersion = 1

// gzipLevel is the one that level 9 gains nothing over on a kernel.
const gzipLevel = 7

// Encoders lists what this program has, in the order of their names.
func Encoders() []Encoder {
	return []Encoder{{"gzip", gzipVersion}, {"zstdblock", zstdblock.Version}, {"zstdstream", zstdblock.Version<<8 | zstdblock.StreamVersion}}
}

// Encoder returns the name of the encoder of a kind; "" for a kind that needs none.
func (k Kind) Encoder() string {
	switch k {
	case Gzip:
		return "gzip"
	case Stream:
		return "zstdstream"
	case Block, Meta:
		return "zstdblock"
	}
	return ""
}

// Has reports whether this program makes the same bytes as somebody with these encoders, for pieces
// of kind k.
func Has(theirs []Encoder, k Kind) bool {
	name := k.Encoder()
	if name == "" {
		return true
	}
	for _, ours := range Encoders() {
		for _, e := range theirs {
			if ours == e && e.Name == name {
				return true
			}
		}
	}
	return false
}

// NewWriter returns the encoder of a Gzip or Stream kind. Close ends the stream and leaves w open.
func NewWriter(k Kind, w io.Writer) (io.WriteCloser, error) {
	switch k {
	case Gzip:
		return gzip.NewWriterLevel(w, gzipLevel)
	case Stream:
		return zstdblock.NewWriter(w), nil
	}
	return nil, fmt.Errorf("%s is not a stream", k)
}
