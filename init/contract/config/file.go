package config

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
)

// maxFile is the largest content a write_files item may unpack to.
const maxFile = 16 << 20

// Data decodes the content by its encoding.
func (f File) Data() ([]byte, error) {
	data := []byte(f.Content)
	e := strings.ToLower(f.Encoding)
	if strings.Contains(e, "b64") || strings.Contains(e, "base64") {
		raw, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(f.Content), ""))
		if err != nil {
			return nil, fmt.Errorf("content of %s is not base64: %w", f.Path, err)
		}
		data = raw
	}
	if !strings.HasPrefix(e, "gz") {
		return data, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("content of %s is not gzip: %w", f.Path, err)
	}
	out, err := io.ReadAll(io.LimitReader(z, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("content of %s is broken gzip: %w", f.Path, err)
	}
	if len(out) > maxFile {
		return nil, fmt.Errorf("content of %s unpacks to more than %d MiB", f.Path, maxFile>>20)
	}
	return out, nil
}

// Mode returns the permissions, setuid, setgid and sticky bits included; 0644 when there are none.
func (f File) Mode() fs.FileMode {
	v, err := strconv.ParseUint(strings.TrimPrefix(f.Permissions, "0o"), 8, 16)
	if err != nil || v > 0o7777 {
		return 0o644
	}
	mode := fs.FileMode(v & 0o777)
	for bit, m := range map[uint64]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if v&bit != 0 {
			mode |= m
		}
	}
	return mode
}
