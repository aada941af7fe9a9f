package install

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"

	"imgbuild/init/contract/fatfile"
	"imgbuild/init/contract/manifest"
)

// Held reads the system that a slot's partition holds, compares every file with its hash, and gives
// its manifest and the sha256 by which bundles name it. A slot whose writing was cut off has no
// first sector, and so no files.
func Held(r io.ReaderAt) (m *manifest.Manifest, bundle string, err error) {
	text, err := fatfile.ReadFile(r, manifest.Name)
	if err != nil {
		return nil, "", err
	}
	sum, err := fatfile.ReadFile(r, manifest.SumName)
	if err != nil {
		return nil, "", err
	}
	if m, err = manifest.Parse(text, sum); err != nil {
		return nil, "", err
	}
	for _, f := range m.Files {
		h := sha256.New()
		n, err := io.Copy(h, io.NewSectionReader(r, f.Offset, f.Size))
		if err == nil && n < f.Size {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, "", fmt.Errorf("%s, after %d of %d bytes: %w", f.Path, n, f.Size, err)
		}
		if got := hex.EncodeToString(h.Sum(nil)); got != f.SHA256 {
			return nil, "", fmt.Errorf("%s is damaged: its sha256 is %s, not %s", f.Path, got, f.SHA256)
		}
	}
	name := sha256.Sum256(text)
	return m, hex.EncodeToString(name[:]), nil
}
