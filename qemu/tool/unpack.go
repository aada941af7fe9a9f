package tool

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// merged are the directories that Debian's base-files links into usr; packages may still name the
// short form.
var merged = []string{"bin", "sbin", "lib", "lib32", "lib64", "libx32"}

// inRoot turns a name of a package's tar into a path below the unpacked root: no leading slash or
// dot, usr merged.
func inRoot(name string) string {
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	for _, m := range merged {
		if name == m || strings.HasPrefix(name, m+"/") {
			return "usr/" + name
		}
	}
	return name
}

// unpack writes one package's data tar into root: directories, files and links, as the calling
// user. Owners, devices and set-id bits have no place in a tool box and are left out. Documentation
// is left out too.
func unpack(r io.Reader, root *os.Root) error {
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading a package's data: %w", err)
		}
		name := inRoot(h.Name)
		if name == "" || strings.HasPrefix(name, "usr/share/doc/") || strings.HasPrefix(name, "usr/share/man/") || strings.HasPrefix(name, "usr/share/locale/") {
			continue
		}
		if h.Typeflag != tar.TypeDir {
			if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
				return err
			}
			if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		switch h.Typeflag {
		case tar.TypeDir:
			err = root.MkdirAll(name, 0o755)
		case tar.TypeReg:
			err = writeFile(root, name, t, 0o644|fs.FileMode(h.Mode)&0o111)
		case tar.TypeSymlink:
			err = root.Symlink(linkTarget(name, h.Linkname), name)
		case tar.TypeLink:
			err = root.Link(inRoot(h.Linkname), name)
		}
		if err != nil {
			return fmt.Errorf("unpacking %s: %w", name, err)
		}
	}
}

// linkTarget makes a link that is absolute in the package relative, so that it stays inside the
// unpacked root.
func linkTarget(name, target string) string {
	if !strings.HasPrefix(target, "/") {
		return target
	}
	rel, err := filepath.Rel(path.Dir(name), inRoot(target))
	if err != nil {
		return target
	}
	return rel
}

func writeFile(root *os.Root, name string, r io.Reader, mode fs.FileMode) error {
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, r); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
