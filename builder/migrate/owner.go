package migrate

import (
	"os"
	"strconv"

	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/terminal"
)

// giveBack hands a file made under sudo, which reading a card takes, to the user who ran sudo: the
// build that uses it needs no root, and no other user may read it.
func giveBack(name string) error {
	uid, gid, ok := sudoer(os.Getenv)
	if os.Geteuid() != 0 || !ok {
		return nil
	}
	return fault.Wrap(os.Lchown(name, uid, gid), fault.Device, "sudo chown $USER "+terminal.Quote(name), "giving %s to you", name)
}

// sudoer returns the user who ran sudo.
func sudoer(getenv func(string) string) (uid, gid int, ok bool) {
	uid, err := strconv.Atoi(getenv("SUDO_UID"))
	if err != nil || uid <= 0 {
		return 0, 0, false
	}
	gid, err = strconv.Atoi(getenv("SUDO_GID"))
	return uid, gid, err == nil && gid >= 0
}
