package preinit

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"imgbuild/init/contract/fault"
)

// kernelLog has the kernel below proc keep every line that is written to /dev/kmsg (printk_devkmsg
// in Documentation/admin-guide/sysctl/kernel.rst). By default it drops what comes after ten lines
// in five seconds, and a boot writes more. What the command line has about it holds.
func kernelLog(c Cmdline, proc string) error {
	if _, ok := c["printk.devkmsg"]; ok {
		return nil // the kernel refuses a change then
	}
	err := os.WriteFile(filepath.Join(proc, "sys/kernel/printk_devkmsg"), []byte("on\n"), 0) // it refuses the word without the line end
	if errors.Is(err, fs.ErrNotExist) {
		return nil // this kernel has no such setting
	}
	return fault.Wrap(err, fault.Internal, "", "the kernel's log of every line")
}
