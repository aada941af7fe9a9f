package datadisk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/fault"
)

// OrderMove notes that the next start of k3s moves its data to the data disk. device is
// data.device, used is the disk that k3s' data are on already; both may be empty.
func OrderMove(device, used string) error { return orderMove(MovePath, device, used) }

func orderMove(note, device, used string) error {
	switch {
	case device == "": // else the note would wait, and move data some other day
		return fault.New(fault.Usage, "set data.device, such as LABEL=k3sdata, and run it again", "the configuration names no data disk")
	case used != "":
		return fault.New(fault.Usage, "", "k3s' data are on %s already", used)
	}
	return asRoot(atomicfile.Write(note, nil, 0o600))
}

// Forget gives up the disk that k3s' data are on: the node takes the next empty one, or its own.
// Nothing on the old one is changed.
func Forget() error { return forgetDisk(KnownPath) }

func forgetDisk(known string) error {
	err := os.Remove(known)
	if errors.Is(err, fs.ErrNotExist) {
		return fault.New(fault.Usage, "", "this node has no data disk to forget")
	}
	if err == nil {
		err = atomicfile.SyncDir(filepath.Dir(known))
	}
	return asRoot(err)
}

// asRoot adds the way out to an error that root would not have got.
func asRoot(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fault.Wrap(err, fault.Usage, "use sudo", "")
	}
	return err
}
