package preinit

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"imgbuild/init/contract/fault"
)

// hugePages has the kernel below sys give huge pages (2 MiB) to programs that ask for them alone
// (Documentation/admin-guide/mm/transhuge.rst). Debian's default is "always": a Go program then
// takes memory in pieces of 2 MiB, of which the kernel gives back nothing that it had returned:
// PID 1 had 22 MB in the place of 8. What the command line has about it holds.
func hugePages(c Cmdline, sys string) error {
	if _, ok := c["transparent_hugepage"]; ok {
		return nil
	}
	err := os.WriteFile(filepath.Join(sys, "kernel/mm/transparent_hugepage/enabled"), []byte("madvise"), 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // this kernel has none
	}
	return fault.Wrap(err, fault.Internal, "", "huge pages on demand")
}
