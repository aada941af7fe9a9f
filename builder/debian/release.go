package debian

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"
)

// release is a verified Release file of a suite: what it is, and the hash of each index file of it.
type release struct {
	Suite, Codename string
	Date            time.Time
	ValidUntil      time.Time // zero: for ever
	ByHash          bool
	Architectures   []string
	Files           map[string]indexFile // by path under dists/SUITE/
}

type indexFile struct {
	Size int64
	Sum  [32]byte
}

// maxIndex bounds a compressed index, in bytes; trixie's largest has 10 MB.
const maxIndex = 512 << 20

// parseRelease reads the text of a Release file.
func parseRelease(text []byte) (*release, error) {
	s := newStanzaReader(bytes.NewReader(text))
	fields, err := s.next()
	if err != nil {
		return nil, fmt.Errorf("not a Release file: %w", err)
	}
	r := &release{Files: map[string]indexFile{}}
	for _, f := range fields {
		switch value := string(f.value); string(f.name) {
		case "suite":
			r.Suite = value
		case "codename":
			r.Codename = value
		case "date":
			r.Date, err = parseDate(value)
		case "valid-until":
			r.ValidUntil, err = parseDate(value)
		case "acquire-by-hash":
			r.ByHash = value == "yes"
		case "architectures":
			r.Architectures = strings.Fields(value)
		case "sha256":
			err = r.parseFiles(value)
		}
		if err != nil {
			return nil, fmt.Errorf("field %s of the Release file: %w", f.name, err)
		}
	}
	if r.Date.IsZero() {
		return nil, fmt.Errorf("the Release file has no Date")
	}
	if len(r.Files) == 0 {
		return nil, fmt.Errorf("the Release file has no SHA256 list")
	}
	return r, nil
}

func (r *release) parseFiles(value string) error {
	for line := range strings.SplitSeq(value, "\n") {
		part := strings.Fields(line)
		if len(part) == 0 {
			continue
		}
		if len(part) != 3 {
			return fmt.Errorf("not a hash, a size and a name: %.100q", line)
		}
		var file indexFile
		var err error
		if file.Sum, err = parseSum(part[0]); err != nil {
			return err
		}
		if file.Size, err = strconv.ParseInt(part[1], 10, 64); err != nil || file.Size < 0 {
			return fmt.Errorf("bad size in %.100q", line)
		}
		r.Files[part[2]] = file
	}
	return nil
}

// parseDate reads the dates of Release files: RFC 1123, in UTC.
func parseDate(s string) (time.Time, error) {
	for _, layout := range []string{time.RFC1123, time.RFC1123Z, "Mon, _2 Jan 2006 15:04:05 MST", "Mon, _2 Jan 2006 15:04:05 -0700"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%.40q is not a date", s)
}

// parseSum reads a sha256 in hexadecimal.
func parseSum(s string) (sum [32]byte, err error) {
	if len(s) != 64 {
		return sum, fmt.Errorf("%.80q is not a sha256", s)
	}
	if _, err := hex.Decode(sum[:], []byte(s)); err != nil {
		return sum, fmt.Errorf("%.80q is not a sha256", s)
	}
	return sum, nil
}

// cleanPath reports whether p is a plain relative path that cannot leave its base and means itself
// in a URL.
func cleanPath(p string) bool {
	if p == "" || len(p) > 1000 || path.IsAbs(p) || path.Clean(p) != p || p == "." || p == ".." || strings.HasPrefix(p, "../") {
		return false
	}
	for i := range len(p) {
		c := p[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || digit(c)
		if !letter && strings.IndexByte("+.-_~/:%=,@", c) < 0 {
			return false
		}
	}
	return true
}
