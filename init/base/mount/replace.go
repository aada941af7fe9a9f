package mount

import (
	"os"

	"imgbuild/init/contract/atomicfile"
)

// Replace is atomicfile.WriteAs, which new code calls itself.
func Replace(path string, data []byte, mode os.FileMode, uid, gid int) error {
	return atomicfile.WriteAs(path, data, mode, uid, gid)
}

// SyncDir is atomicfile.SyncDir, which new code calls itself.
func SyncDir(dir string) error { return atomicfile.SyncDir(dir) }
