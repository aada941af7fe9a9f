package image

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

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
