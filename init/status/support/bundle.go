package support

import (
	"archive/tar"
	"compress/gzip"
	"fmt"
	"io"
	"strings"
	"time"

	"imgbuild/init/contract/mask"
)

// Member is one file of a bundle. Read is called when its turn comes; what it fails with is in
// errors.txt.
type Member struct {
	Name string
	Read func() ([]byte, error)
}

// limit is how much of a member is taken, its end, in bytes.
const limit = 2 << 20

// Write puts the members into a tar.gz below a directory called name, each scrubbed.
func Write(w io.Writer, name string, now time.Time, s *mask.Scrubber, members []Member) error {
	z := gzip.NewWriter(w)
	t := tar.NewWriter(z)
	var failed strings.Builder
	add := func(file string, text []byte) error {
		if len(text) > limit {
			text = append([]byte("[the beginning is left out]\n"), text[len(text)-limit:]...)
		}
		text = s.Text(text)
		h := &tar.Header{Name: name + "/" + file, Mode: 0o600, Size: int64(len(text)), ModTime: now.Truncate(time.Second), Typeflag: tar.TypeReg}
		if err := t.WriteHeader(h); err != nil {
			return err
		}
		_, err := t.Write(text)
		return err
	}
	for _, m := range members {
		text, err := m.Read()
		if err != nil {
			fmt.Fprintf(&failed, "%s: %v\n", m.Name, err)
		}
		if err == nil || len(text) > 0 {
			if err := add(m.Name, text); err != nil {
				return err
			}
		}
	}
	if failed.Len() > 0 {
		if err := add("errors.txt", []byte(failed.String())); err != nil {
			return err
		}
	}
	if err := t.Close(); err != nil {
		return err
	}
	return z.Close()
}
