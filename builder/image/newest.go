package image

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"imgbuild/init/contract/fault"
)

// Newest returns the image of a board and a role in the directory out that was written last.
// Without one the error is of kind Input.
func Newest(out, board, role string) (string, error) {
	entries, err := os.ReadDir(out)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fault.Wrap(err, fault.Input, "give the directory with the images as out=DIR", "looking for images")
	}
	newest, last := "", time.Time{}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), board+"-"+role+"-") || filepath.Ext(e.Name()) != ".img" || !e.Type().IsRegular() {
			continue
		}
		if info, err := e.Info(); err == nil && (newest == "" || info.ModTime().After(last)) {
			newest, last = e.Name(), info.ModTime()
		}
	}
	if newest == "" {
		return "", fault.New(fault.Input, fmt.Sprintf("build one: imgbuild board=%s role=%s", board, role), "there is no image of %s as %s in %s%w", board, role, out, none{})
	}
	return filepath.Join(out, newest), nil
}

// none makes errors.Is find that there is no image; the sentence has it in other words.
type none struct{}

func (none) Error() string { return "" }
func (none) Unwrap() error { return fs.ErrNotExist }
