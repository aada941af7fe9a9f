package image

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"imgbuild/builder/recipe"
	"imgbuild/init/contract/fault"
)

// NewestPlain is Newest of the images that are nobody's: without a configuration, ssh keys or data.
func NewestPlain(out, board, role string) (string, error) {
	return newest(out, board, role, regexp.MustCompile("^"+regexp.QuoteMeta(board+"-"+role)+`-[0-9]{8}-[0-9a-f]{8}(-`+recipe.FirstBoot+`)?\.img$`))
}

// Newest returns the image of a board and a role in the directory out that was written last.
// Without one the error is of kind Input.
func Newest(out, board, role string) (string, error) {
	return newest(out, board, role, regexp.MustCompile("^"+regexp.QuoteMeta(board+"-"+role)+`-.*\.img$`))
}

func newest(out, board, role string, name *regexp.Regexp) (string, error) {
	entries, err := os.ReadDir(out)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fault.Wrap(err, fault.Input, "give the directory with the images as out=DIR", "looking for images")
	}
	last, best := time.Time{}, ""
	for _, e := range entries {
		if !name.MatchString(e.Name()) || !e.Type().IsRegular() {
			continue
		}
		if info, err := e.Info(); err == nil && (best == "" || info.ModTime().After(last)) {
			best, last = e.Name(), info.ModTime()
		}
	}
	if best == "" {
		return "", fault.New(fault.Input, fmt.Sprintf("build one: imgbuild board=%s role=%s", board, role), "there is no image of %s as %s in %s%w", board, role, out, none{})
	}
	return filepath.Join(out, best), nil
}

// none makes errors.Is find that there is no image; the sentence has it in other words.
type none struct{}

func (none) Error() string { return "" }
func (none) Unwrap() error { return fs.ErrNotExist }
