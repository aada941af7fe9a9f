package apply

import (
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
)

func owner(st fs.FileInfo) (uid, gid int) {
	if s, ok := st.Sys().(*syscall.Stat_t); ok {
		return int(s.Uid), int(s.Gid)
	}
	return 0, 0
}

// owner reads USER, USER:GROUP, USER: or :GROUP, names or numbers, as chown takes them. USER: means
// the user's own group.
func (m Machine) owner(text string) (uid, gid int, err error) {
	user, group, both := strings.Cut(text, ":")
	if user != "" {
		var own int
		if uid, own, err = m.lookup("/etc/passwd", user); err != nil {
			return 0, 0, fmt.Errorf("no user %q", user)
		}
		if both && group == "" {
			gid = own
		}
	}
	if group != "" {
		if gid, _, err = m.lookup("/etc/group", group); err != nil {
			return 0, 0, fmt.Errorf("no group %q", group)
		}
	}
	return uid, gid, nil
}

// lookup returns the third field of NAME's line, and the fourth where it is a number.
func (m Machine) lookup(file, name string) (id, next int, err error) {
	if n, err := strconv.Atoi(name); err == nil && n >= 0 {
		return n, n, nil
	}
	data, err := os.ReadFile(m.path(file))
	if err != nil {
		return 0, 0, err
	}
	for _, line := range strings.Split(string(data), "\n") {
		f := strings.Split(line, ":")
		if len(f) < 4 || f[0] != name {
			continue
		}
		id, err = strconv.Atoi(f[2])
		next, _ = strconv.Atoi(f[3])
		return id, next, err
	}
	return 0, 0, fs.ErrNotExist
}
