package crash

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"imgbuild/init/contract/atomicfile"
)

// Found is what a boot left that failed. The zero value is that of one that did not.
type Found struct {
	Who   string // as given to Arm
	Words string
}

// Failed reports whether the program failed.
func (f Found) Failed() bool { return f.Words != "" }

// Take reads what an earlier boot left at path and, if it failed, moves it to kept, where one older
// one is kept as well. The record is returned also with an error.
func Take(path, kept string) (Found, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Found{}, nil
	}
	if err != nil {
		return Found{}, err
	}
	f := split(text)
	if !f.Failed() {
		return Found{}, nil
	}
	_ = os.MkdirAll(filepath.Dir(kept), 0o755)
	_ = os.Rename(kept, kept+".1")
	err = atomicfile.Write(kept, []byte(f.Who+"\n\n"+f.Words+"\n"), 0o640)
	if os.Remove(path) == nil {
		_ = atomicfile.SyncDir(filepath.Dir(path))
	}
	return f, err
}

// split reads the file.
func split(text []byte) Found {
	first, rest := text[:min(head, len(text))], text[min(head, len(text)):]
	return Found{strings.TrimSpace(string(first)), strings.Trim(string(rest), "\n\x00")}
}

// Gist is the most useful line of the last words. The runtime prints the name of an error of its
// own before it begins to copy its text, so that of those only the stack is there: its first
// function.
func (f Found) Gist() string {
	first, rest, _ := strings.Cut(f.Words, "\n")
	if !strings.HasPrefix(first, "goroutine ") {
		return first
	}
	function, _, _ := strings.Cut(rest, "\n")
	function, _, _ = strings.Cut(function, "({")
	return "error of the runtime in " + strings.TrimSuffix(function, "(...)")
}
