package tool

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// runDir holds the scripts, below the directory of an unpacked set.
const runDir = "run"

// scripts makes one script for each ELF program of an unpacked set, and for each program in Python.
// It starts the program through the packages' own loader with the packages' own libraries: the
// host's may be older, of another distribution or of another libc.
//
// dir is where the set is now, final where it will be used.
func scripts(h host, dir, final string) error {
	if err := os.Mkdir(filepath.Join(dir, runDir), 0o755); err != nil {
		return err
	}
	for _, bin := range []string{"usr/bin", "usr/sbin"} {
		entries, err := os.ReadDir(filepath.Join(dir, bin))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		for _, e := range entries {
			var text string
			switch path := filepath.Join(dir, bin, e.Name()); {
			case isELF(path):
				text = script(h, final, bin, e.Name())
			case isPython(path):
				text = fmt.Sprintf("#!/bin/sh\nR='%s'\nexec \"$R/%s/python3\" \"$R/%s/%s\" \"$@\"\n", strings.ReplaceAll(final, "'", `'\''`), runDir, bin, e.Name())
			default:
				continue
			}
			if err := os.WriteFile(filepath.Join(dir, runDir, e.Name()), []byte(text), 0o755); err != nil {
				return err
			}
		}
	}
	return nil
}

// script is the text of one: the set's other programs come first in PATH; iconv's tables, the
// modules of QEMU and lighttpd, and Python's library are the set's own.
func script(h host, root, bin, name string) string {
	lib := "$R/usr/lib/" + h.triplet
	more := ""
	if strings.HasPrefix(name, "qemu-system-") {
		more = ` -L "$R/usr/share/qemu"`
	}
	if name == "lighttpd" {
		more = ` -m "$R/usr/lib/lighttpd"`
	}
	home := ""
	if strings.HasPrefix(name, "python3") {
		home = "export PYTHONHOME=\"$R/usr\"\n"
	}
	return fmt.Sprintf(`#!/bin/sh
R='%s'
export PATH="$R/%s:$PATH" GCONV_PATH="%s/gconv" QEMU_MODULE_DIR="%s/qemu"
%sexec "%s/%s" --library-path "%s:%s/samba" --argv0 %s "$R/%s/%s"%s "$@"
`, strings.ReplaceAll(root, "'", `'\''`), runDir, lib, lib, home, lib, h.loader, lib, lib, name, bin, name, more)
}

// isPython reports whether a file is a script of Python 3.
func isPython(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	line := make([]byte, 32)
	n, _ := f.Read(line)
	return bytes.HasPrefix(line[:n], []byte("#!")) && bytes.Contains(bytes.SplitN(line[:n], []byte("\n"), 2)[0], []byte("python3"))
}

func isELF(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	magic := make([]byte, 4)
	n, _ := f.Read(magic)
	return bytes.Equal(magic[:n], []byte("\x7fELF"))
}
