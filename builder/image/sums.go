package image

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"aead.dev/minisign"

	"imgbuild/init/contract/atomicfile"
)

// SumsName is the file with the sums of everything in a directory of images.
const SumsName = "SHA256SUMS"

// writeSums writes the sums and, with a key, their signature in minisign's form next to them. A
// signature that does not match any more is removed.
func (b *build) writeSums(sums []byte) error {
	file := filepath.Join(b.Out, SumsName)
	signature := file + ".minisig"
	old, err := os.ReadFile(file)
	if b.Key == nil && (err != nil || !bytes.Equal(old, sums)) {
		if err := os.Remove(signature); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := atomicfile.Write(file, sums, 0o644); err != nil || b.Key == nil {
		return err
	}
	b.result.Files = append(b.result.Files, signature)
	return atomicfile.Write(signature, minisign.SignWithComments(*b.Key, sums, "file:"+SumsName, "sums of images made by imgbuild"), 0o644)
}

// mergeSums joins new lines of SHA256SUMS with those of the file that is there, for files that
// still exist. Lines are "hex name" as sha256sum writes them, sorted by name.
func mergeSums(file string, fresh []byte) ([]byte, error) {
	old, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	lines := map[string]string{}
	for _, line := range strings.Split(string(old)+string(fresh), "\n") {
		_, name, ok := strings.Cut(line, "  ")
		if !ok {
			continue
		}
		lines[name] = line
	}
	var names []string
	for name := range lines {
		if _, err := os.Stat(filepath.Join(filepath.Dir(file), name)); err == nil || strings.Contains(string(fresh), "  "+name+"\n") {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	var out strings.Builder
	for _, name := range names {
		out.WriteString(lines[name] + "\n")
	}
	return []byte(out.String()), nil
}
