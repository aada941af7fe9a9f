// Package bmap writes and reads block maps (the .bmap files of bmap-tools, format 2.0): which parts
// of an image have to be written, and the sum of each. Everything else may be left as it is on the
// card.
//
// Source: bmap-tools 3.x, src/bmaptool/BmapCopy.py and BmapCreate.py.
package bmap

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Block is the unit of a map, in bytes.
const Block = 4096

// Range is a part of an image, in bytes.
type Range struct{ Start, End int64 }

// Ranges widens parts to whole blocks, sorts them and joins those that touch. size is the image's.
func Ranges(parts []Range, size int64) []Range {
	parts = slices.DeleteFunc(slices.Clone(parts), func(r Range) bool { return r.End <= r.Start })
	slices.SortFunc(parts, func(a, b Range) int { return cmp.Compare(a.Start, b.Start) })
	var all []Range
	for _, p := range parts {
		p = Range{p.Start / Block * Block, min((p.End+Block-1)/Block*Block, size)}
		if n := len(all); n > 0 && p.Start <= all[n-1].End {
			all[n-1].End = max(all[n-1].End, p.End)
			continue
		}
		all = append(all, p)
	}
	return all
}

// Map is a block map.
type Map struct {
	Size   int64 // of the image, bytes
	Ranges []Range
	Sums   [][sha256.Size]byte // of each range
}

// Mapped is how many bytes the ranges have.
func (m *Map) Mapped() (n int64) {
	for _, r := range m.Ranges {
		n += r.End - r.Start
	}
	return n
}

// Make reads the ranges of an image and sums them.
func Make(image io.ReaderAt, size int64, ranges []Range) (*Map, error) {
	m := &Map{Size: size, Ranges: ranges}
	for _, r := range ranges {
		h := sha256.New()
		if n, err := io.Copy(h, io.NewSectionReader(image, r.Start, r.End-r.Start)); err != nil || n != r.End-r.Start {
			return nil, fmt.Errorf("reading the image from %d to %d: %d bytes: %w", r.Start, r.End, n, err)
		}
		m.Sums = append(m.Sums, [sha256.Size]byte(h.Sum(nil)))
	}
	return m, nil
}

// head is what comes before the ranges. The sum of the file is made with zeros in its own place.
const head = `<?xml version="1.0" ?>
<!-- Which blocks of the image are to be written; for bmaptool copy. -->
<bmap version="2.0">
    <ImageSize>%d</ImageSize>
    <BlockSize>%d</BlockSize>
    <BlocksCount>%d</BlocksCount>
    <MappedBlocksCount>%d</MappedBlocksCount>
    <ChecksumType>sha256</ChecksumType>
    <BmapFileChecksum>%s</BmapFileChecksum>
    <BlockMap>
`

var zeros = strings.Repeat("0", 2*sha256.Size)

func blocks(bytes int64) int64 { return (bytes + Block - 1) / Block }

// Marshal returns the file.
func (m *Map) Marshal() []byte {
	var b bytes.Buffer
	var mapped int64
	for _, r := range m.Ranges {
		mapped += blocks(r.End) - r.Start/Block
	}
	fmt.Fprintf(&b, head, m.Size, Block, blocks(m.Size), mapped, zeros)
	for i, r := range m.Ranges {
		first, last := r.Start/Block, blocks(r.End)-1
		text := fmt.Sprintf("%d-%d", first, last)
		if first == last {
			text = strconv.FormatInt(first, 10)
		}
		fmt.Fprintf(&b, "        <Range chksum=\"%x\">%s</Range>\n", m.Sums[i], text)
	}
	b.WriteString("    </BlockMap>\n</bmap>\n")
	sum := sha256.Sum256(b.Bytes())
	return bytes.Replace(b.Bytes(), []byte(zeros), []byte(hex.EncodeToString(sum[:])), 1)
}

// maxRanges bounds what a damaged file can ask for.
const maxRanges = 1 << 20

// Parse reads a file and checks its own sum, and that its ranges are in order and inside the image.
func Parse(data []byte) (*Map, error) {
	var x struct {
		Version string `xml:"version,attr"`
		Size    int64  `xml:"ImageSize"`
		Block   int64  `xml:"BlockSize"`
		Type    string `xml:"ChecksumType"`
		Sum     string `xml:"BmapFileChecksum"`
		Ranges  []struct {
			Sum  string `xml:"chksum,attr"`
			Text string `xml:",chardata"`
		} `xml:"BlockMap>Range"`
	}
	if err := xml.Unmarshal(data, &x); err != nil {
		return nil, fmt.Errorf("not a block map: %w", err)
	}
	sum := strings.TrimSpace(x.Sum)
	switch {
	case !strings.HasPrefix(x.Version, "2."):
		return nil, fmt.Errorf("a block map of version %q; 2.0 is known", x.Version)
	case strings.TrimSpace(x.Type) != "sha256" || len(sum) != len(zeros):
		return nil, fmt.Errorf("its sums are of another kind than sha256")
	case x.Block != Block:
		return nil, fmt.Errorf("its blocks have %d bytes, not %d", x.Block, Block)
	case x.Size <= 0:
		return nil, fmt.Errorf("its image has %d bytes", x.Size)
	case len(x.Ranges) > maxRanges:
		return nil, fmt.Errorf("it has %d ranges", len(x.Ranges))
	}
	if got := sha256.Sum256(bytes.Replace(data, []byte(sum), []byte(zeros), 1)); hex.EncodeToString(got[:]) != sum {
		return nil, fmt.Errorf("the block map does not match its own sum")
	}
	m := &Map{Size: x.Size}
	end := int64(0)
	for _, r := range x.Ranges {
		from, to, two := strings.Cut(strings.TrimSpace(r.Text), "-")
		if !two {
			to = from
		}
		first, err1 := strconv.ParseInt(from, 10, 64)
		last, err2 := strconv.ParseInt(to, 10, 64)
		hash, err3 := hex.DecodeString(r.Sum)
		if err1 != nil || err2 != nil || err3 != nil || len(hash) != sha256.Size || first < end || last < first || last >= blocks(x.Size) {
			return nil, fmt.Errorf("its range %q is damaged", strings.TrimSpace(r.Text))
		}
		end = last + 1
		m.Ranges = append(m.Ranges, Range{first * Block, min(end*Block, x.Size)})
		m.Sums = append(m.Sums, [sha256.Size]byte(hash))
	}
	return m, nil
}
