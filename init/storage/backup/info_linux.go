package backup

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// info is what btrfs knows of a subvolume.
type info struct {
	gen            uint64
	uuid, received string // 32 hex digits; received is empty for one that was made here
	readOnly       bool
}

// firstInode is the number of a subvolume's root.
const firstInode = 256

// isSubvolume reports whether a directory on btrfs is the root of a subvolume.
func isSubvolume(dir string) bool {
	var st unix.Stat_t
	return unix.Lstat(dir, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR && st.Ino == firstInode
}

// infoOf asks btrfs for a subvolume: generation, flags, uuid and received_uuid of
// BTRFS_IOC_GET_SUBVOL_INFO (include/uapi/linux/btrfs.h).
func infoOf(dir string) (info, error) {
	const size, generation, flags, uuid, received = 504, 280, 288, 296, 328
	const request = 2<<30 | size<<16 | 0x94<<8 | 60
	if !isSubvolume(dir) {
		return info{}, fmt.Errorf("%s is no subvolume", dir)
	}
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return info{}, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	defer unix.Close(fd)
	var b [size]byte
	if _, _, no := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(unsafe.Pointer(&b[0]))); no != 0 {
		return info{}, fmt.Errorf("the subvolume %s: %w", dir, no)
	}
	return info{gen: binary.NativeEndian.Uint64(b[generation:]), uuid: uuidText(b[uuid : uuid+16]), received: uuidText(b[received : received+16]),
		readOnly: binary.NativeEndian.Uint64(b[flags:])&1 != 0}, nil
}

// uuidText is a UUID in hex digits; empty for none.
func uuidText(b []byte) string {
	for _, x := range b {
		if x != 0 {
			return hex.EncodeToString(b)
		}
	}
	return ""
}

// syncFS makes what was done on a file system lasting.
func syncFS(dir string) error {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: dir, Err: err}
	}
	defer unix.Close(fd)
	return os.NewSyscallError("syncfs", unix.Syncfs(fd))
}
