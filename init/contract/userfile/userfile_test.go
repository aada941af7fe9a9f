package userfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"imgbuild/init/contract/fault"
)

// One sentence names the path as it was given, and the cause.
func TestOpen(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{"full": "x", "empty": "", "closed": "x"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir("dir", 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		key, name  string
		open, read string // errors; "" for none
		is         error
	}{
		{"bundle", "none", "bundle=none does not exist; check the path", "bundle=none does not exist; check the path", fs.ErrNotExist},
		{"", "none", "none does not exist; check the path", "none does not exist; check the path", fs.ErrNotExist},
		{"k3s", "dir", "k3s=dir is a directory; name a file", "k3s=dir is a directory; name a file", nil},
		{"config", "empty", "config=empty is empty; make or copy it again", "", nil},
		{"config", "full", "", "", nil},
		{"config", "full/x", "config=full/x cannot be read: not a directory", "config=full/x cannot be read: not a directory", nil},
		{"config", os.DevNull, "", "", nil},
	} {
		f, err := Open(c.key, c.name)
		if got := text(err); got != c.open {
			t.Errorf("Open(%s, %s): got %q, want %q", c.key, c.name, got, c.open)
		}
		if err == nil {
			f.Close()
		}
		_, rerr := Read(c.key, c.name)
		if got := text(rerr); got != c.read {
			t.Errorf("Read(%s, %s): got %q, want %q", c.key, c.name, got, c.read)
		}
		for _, err := range []error{err, rerr} {
			if err != nil && fault.Code(err) != int(fault.Input) || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%s: got %v, want a fault of kind Input that is %v", c.name, err, c.is)
			}
		}
	}
	if data, err := Read("", "full"); err != nil || string(data) != "x" {
		t.Errorf("got %q, %v, want x", data, err)
	}
	want := filepath.Join("a", "b") + " cannot be read: permission denied; make it yours: sudo chown $USER a/b"
	if got := text(Wrong("", "a/b", &fs.PathError{Op: "open", Path: "a/b", Err: fs.ErrPermission})); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
