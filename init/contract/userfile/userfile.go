// Package userfile opens files that users name. What is wrong with a path is reported in one way: a
// sentence with the path and the cause, before anybody looks at the content.
package userfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/terminal"
)

// Open opens a file for reading. key is the key of the command line that named it, such as bundle;
// empty for an operand. A file that is missing, is a directory, has no bytes or may not be read is
// an error of kind Input, which wraps the cause. Devices and pipes are opened as they are.
func Open(key, name string) (*os.File, error) { return open(key, name, false) }

// Read reads a file whole; an empty one gives no bytes. Errors are those of Open.
func Read(key, name string) ([]byte, error) {
	f, err := open(key, name, true)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		return nil, Wrong(key, name, err)
	}
	return data, nil
}

func open(key, name string, empty bool) (*os.File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, Wrong(key, name, err)
	}
	info, err := f.Stat()
	switch {
	case err != nil:
		err = Wrong(key, name, err)
	case info.IsDir():
		err = fault.New(fault.Input, "name a file", "%s is a directory", shown(key, name))
	case !empty && info.Mode().IsRegular() && info.Size() == 0:
		err = fault.New(fault.Input, "make or copy it again", "%s is empty", shown(key, name))
	default:
		return f, nil
	}
	f.Close()
	return nil, err
}

// Wrong reports that a file that a user named cannot be read.
func Wrong(key, name string, err error) error {
	cause := err
	var path *fs.PathError
	if errors.As(err, &path) {
		cause = path.Err // the path is in the sentence already
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fault.New(fault.Input, "check the path", "%s does not exist%w", shown(key, name), silent{err})
	case errors.Is(err, fs.ErrPermission):
		return fault.New(fault.Input, "make it yours: sudo chown $USER "+terminal.Quote(name), "%s cannot be read: %w", shown(key, name), cause)
	}
	return fault.New(fault.Input, "", "%s cannot be read: %w", shown(key, name), cause)
}

// shown is how a message names a file.
func shown(key, name string) string {
	if key == "" {
		return name
	}
	return fmt.Sprintf("%s=%s", key, name)
}

// silent keeps a cause for errors.Is that the sentence has in other words.
type silent struct{ error }

func (silent) Error() string   { return "" }
func (s silent) Unwrap() error { return s.error }
