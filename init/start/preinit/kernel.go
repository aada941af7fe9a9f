package preinit

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"imgbuild/init/contract/fault"
)

// kernelSetting is one of the kernel's settings that is not left as Debian has it.
type kernelSetting struct {
	parameter string // of the command line: where it is given, that holds
	file      string
	value     string
}

var kernelSettings = []kernelSetting{
	// By default the kernel drops what comes to /dev/kmsg after ten lines in five seconds, and a
	// boot writes more (Documentation/admin-guide/sysctl/kernel.rst). It refuses the word without
	// the line end, and any change of what its command line has.
	{"printk.devkmsg", "proc/sys/kernel/printk_devkmsg", "on\n"},
	// With Debian's "always" a Go program takes memory in pieces of 2 MiB, of which the kernel
	// gives back nothing that it had returned: PID 1 had 22 MB in the place of 8
	// (Documentation/admin-guide/mm/transhuge.rst).
	{"transparent_hugepage", "sys/kernel/mm/transparent_hugepage/enabled", "madvise"},
}

// set makes the setting below root. One that this kernel does not have is passed over.
func (k kernelSetting) set(c Cmdline, root string) error {
	if _, given := c[k.parameter]; given {
		return nil
	}
	err := os.WriteFile(filepath.Join(root, k.file), []byte(k.value), 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return fault.Wrap(err, fault.Internal, "", "a setting of the kernel")
}
