package mount

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Frozen reports whether the file system at path takes no more writes. A kernel since 6.12 does not
// call an ext4 read-only that it stopped writing to after an error (d3476f3dad4a in Linux): statfs
// and /proc/mounts go on saying rw. The count of errors shows it, which e2fsck sets back;
// only where there are some is it tried out, with a file that never gets a name.
func Frozen(path string) bool {
	var st unix.Statfs_t
	if unix.Statfs(path, &st) == nil && st.Flags&unix.ST_RDONLY != 0 {
		return true
	}
	return errorCount("/sys", path) > 0 && !takesFile(path)
}

// errorCount is how many errors the kernel has met in the ext4 at path since it was checked; 0 for
// other file systems. sys is /sys.
func errorCount(sys, path string) int {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return 0
	}
	device, err := os.Readlink(filepath.Join(sys, "dev/block", fmt.Sprintf("%d:%d", unix.Major(uint64(st.Dev)), unix.Minor(uint64(st.Dev)))))
	if err != nil {
		return 0
	}
	text, _ := os.ReadFile(filepath.Join(sys, "fs/ext4", filepath.Base(device), "errors_count"))
	n, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return n
}

// takesFile tries to make a file without a name. A disk without space for one is full, not frozen.
func takesFile(path string) bool {
	fd, err := unix.Open(path, unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err == nil {
		_ = unix.Close(fd)
	}
	return !errors.Is(err, unix.EROFS) && !errors.Is(err, unix.EIO) && !errors.Is(err, unix.ESHUTDOWN)
}
