package squashfs

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

var errDisk = errors.New("disk on fire")

func TestRefuses(t *testing.T) {
	sized := func(size int64, content string) Entry {
		e := text("f", content)
		e.Size = size
		return e
	}
	opened := func(size int64, r io.Reader, err error) Entry {
		return Entry{Path: "f", Kind: File, Size: size, Open: func() (io.ReadCloser, error) { return io.NopCloser(r), err }}
	}
	long := strings.Repeat("n", 256)
	for name, c := range map[string]struct {
		entries []Entry
		says    string
		is      error
	}{
		"no root":             {[]Entry{dir("a")}, "(root)", nil},
		"nothing":             {nil, "(root)", nil},
		"root is a file":      {[]Entry{text("", "")}, "not a directory", nil},
		"missing parent":      {[]Entry{dir(""), dir("a"), text("a/b/c", "")}, `a/b/c: missing parent directory "a/b"`, nil},
		"parent is a file":    {[]Entry{dir(""), text("a", ""), text("a/b", "")}, `parent "a" is a file`, nil},
		"twice":               {[]Entry{dir(""), dir("a"), text("a", "")}, "a: path is given twice", nil},
		"absolute":            {[]Entry{dir(""), dir("/a")}, "/a: path", nil},
		"climbing":            {[]Entry{dir(""), dir("a"), dir("a/..")}, `".."`, nil},
		"slash at the end":    {[]Entry{dir(""), dir("a/")}, "a/: path", nil},
		"a long name":         {[]Entry{dir(""), dir(long)}, "256 bytes", nil},
		"NUL in a name":       {[]Entry{dir(""), dir("a\x00b")}, "NUL", nil},
		"strange mode":        {[]Entry{dir(""), {Path: "a", Kind: Dir, Mode: 0o40755}}, "040755", nil},
		"unknown kind":        {[]Entry{dir(""), {Path: "a"}}, "kind 0", nil},
		"empty target":        {[]Entry{dir(""), {Path: "a", Kind: Symlink}}, "target", nil},
		"long target":         {[]Entry{dir(""), {Path: "a", Kind: Symlink, Target: strings.Repeat("x", 4096)}}, "target", nil},
		"large device":        {[]Entry{dir(""), {Path: "a", Kind: Char, Major: 4096}}, "4096:0", nil},
		"link to nothing":     {[]Entry{dir(""), {Path: "a", HardLink: "b"}, text("b", "")}, "not an earlier entry", nil},
		"link to a directory": {[]Entry{dir(""), dir("b"), {Path: "a", HardLink: "b"}}, "is a directory", nil},
		"negative size":       {[]Entry{dir(""), sized(-1, "")}, "negative", nil},
		"no content":          {[]Entry{dir(""), {Path: "a", Kind: File, Size: 1}}, "a: file has a size but no Open", errNoContent},
		"foreign xattr":       {[]Entry{dir(""), {Path: "a", Kind: Dir, Xattrs: []Xattr{{"system.posix_acl_access", nil}}}}, "posix_acl", nil},
		"nameless xattr":      {[]Entry{dir(""), {Path: "a", Kind: Dir, Xattrs: []Xattr{{"user.", nil}}}}, "user.", nil},
		"xattr twice":         {[]Entry{dir(""), {Path: "a", Kind: Dir, Xattrs: []Xattr{{"user.a", nil}, {"user.a", nil}}}}, "twice", nil},
		"large xattr":         {[]Entry{dir(""), {Path: "a", Kind: Dir, Xattrs: []Xattr{{"user.a", make([]byte, 65537)}}}}, "65537", nil},
		"open fails":          {[]Entry{dir(""), opened(5, nil, errDisk)}, "f: disk on fire", errDisk},
		"read fails":          {[]Entry{dir(""), opened(5, iotest.ErrReader(errDisk), nil)}, "f: disk on fire", errDisk},
		"read fails late":     {[]Entry{dir(""), opened(600_000, io.MultiReader(bytes.NewReader(noise(500_000, 1)), iotest.ErrReader(errDisk)), nil)}, "f: disk on fire", errDisk},
		"fewer bytes":         {[]Entry{dir(""), sized(6, "hello")}, "f: content ends after 5 of 6 bytes", io.ErrUnexpectedEOF},
		"more bytes":          {[]Entry{dir(""), sized(4, "hello")}, "f: content is longer than its size of 4 bytes", nil},
		"empty, but not":      {[]Entry{dir(""), sized(0, "hello")}, "longer", nil},
		"fewer, large":        {[]Entry{dir(""), sized(700_000, string(noise(600_000, 1)))}, "after 600000 of 700000", io.ErrUnexpectedEOF},
		"more, large":         {[]Entry{dir(""), sized(600_000, string(noise(600_001, 1)))}, "longer", nil},
	} {
		var m memory
		_, err := Write(&m, c.entries, Options{Workers: 1, BlockSize: 4096})
		if err == nil || !strings.Contains(err.Error(), c.says) || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: error is %v, want %q in it", name, err, c.says)
		}
		if len(m.b) >= 4 && string(m.b[:4]) == "hsqs" {
			t.Errorf("%s: the failed image has a superblock", name)
		}
	}
	for _, block := range []int{-1, 1, 1000, 2048, 2 << 20, 100_000} {
		if _, err := Write(&memory{}, []Entry{dir("")}, Options{BlockSize: block}); err == nil {
			t.Errorf("block size %d is accepted", block)
		}
	}
	if _, err := Write(&memory{}, []Entry{dir("")}, Options{Workers: -1}); err == nil {
		t.Error("negative workers are accepted")
	}
}

// TestDuplicateReadError fails the second of the two reads that files of the same size get.
func TestDuplicateReadError(t *testing.T) {
	content := noise(9000, 1)
	opens := 0
	broken := data("b", content)
	broken.Open = func() (io.ReadCloser, error) {
		if opens++; opens == 2 {
			return nil, errDisk
		}
		return io.NopCloser(bytes.NewReader(content)), nil
	}
	_, err := Write(&memory{}, []Entry{dir(""), broken, data("c", noise(9000, 2))}, Options{BlockSize: 4096})
	if !errors.Is(err, errDisk) {
		t.Errorf("error is %v", err)
	}
}

// fullDisk takes some bytes only.
type fullDisk struct{ left int }

func (d *fullDisk) WriteAt(p []byte, _ int64) (int, error) {
	if d.left -= len(p); d.left < 0 {
		return 0, errDisk
	}
	return len(p), nil
}

// TestFullDisk fails each of the writes of an image in turn.
func TestFullDisk(t *testing.T) {
	list := []Entry{dir("")}
	for i := range 12 {
		list = append(list, data(string(rune('a'+i)), noise(9000, byte(i))))
	}
	list[1].Xattrs = []Xattr{{"user.a", nil}}
	_, st := write(t, list, Options{BlockSize: 4096})
	for left := 0; left < int(st.Size); left += 2999 {
		if _, err := Write(&fullDisk{left}, list, Options{BlockSize: 4096, Workers: 3}); !errors.Is(err, errDisk) {
			t.Fatalf("disk full after %d bytes: error is %v", left, err)
		}
	}
	if _, err := Write(&fullDisk{int(st.Size)}, list, Options{BlockSize: 4096}); err != nil {
		t.Fatal(err)
	}
}
