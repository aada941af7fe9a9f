package k3s

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"imgbuild/init/contract/atomicfile"
)

// ImageDir is where air-gap images are on the node's own disk, whatever disk k3s' data are on.
const ImageDir = "/var/lib/shelf/images"

// imageNames are the ends of names that k3s imports (k3s' documentation, import images).
var imageNames = []string{".tar", ".tar.gz", ".tgz", ".tar.zst", ".tar.lz4", ".txt"}

// provideImages shows the images in from to k3s in to: as another name of the same file, or a copy
// on another disk. One that is there in the same size and time is not touched; k3s would import it
// again.
func provideImages(from, to string) error {
	entries, err := os.ReadDir(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if e.Type().IsRegular() && slices.ContainsFunc(imageNames, func(s string) bool { return strings.HasSuffix(e.Name(), s) }) {
			errs = append(errs, provide(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())))
		}
	}
	return errors.Join(errs...)
}

func provide(from, to string) error {
	want, err := os.Stat(from)
	if err != nil {
		return err
	}
	if have, err := os.Stat(to); err == nil && (os.SameFile(have, want) || have.Size() == want.Size() && have.ModTime().Equal(want.ModTime())) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if err := atomicfile.Link(from, to); !errors.Is(err, syscall.EXDEV) {
		return err
	}
	return duplicate(from, to, want)
}

func duplicate(from, to string, st fs.FileInfo) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := atomicfile.Create(filepath.Dir(to), 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	if _, err = io.Copy(out, in); err == nil {
		err = os.Chtimes(out.Path(), st.ModTime(), st.ModTime())
	}
	if err != nil {
		return err
	}
	return out.Commit(to)
}
