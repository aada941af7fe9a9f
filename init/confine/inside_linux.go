package confine

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// orders is what the part outside writes to the file descriptor orderFD: one line of JSON when
// everything is ready.
type orders struct {
	Spec
	Root    string // an empty directory, for the mount
	Resolv  string // resolv.conf
	Program string
	Env     []string
}

const orderFD = 3

// devices are those of /dev inside.
var devices = []string{"null", "zero", "full", "random", "urandom", "tty"}

// etc are what a program needs to be shown of the node's /etc, where it is there.
var etc = []string{"ssl", "ca-certificates", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "timezone", "mime.types", "services", "protocols", "alternatives"}

// Inside waits for orders, makes the root and becomes the program. It returns only with an error.
func Inside() error {
	runtime.LockOSThread() // capabilities and the filter are the thread's
	in := os.NewFile(orderFD, "orders")
	line, err := bufio.NewReader(in).ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("the part outside has ended: %w", err)
	}
	in.Close()
	var o orders
	if err := json.Unmarshal(line, &o); err != nil {
		return err
	}
	if err := o.root(); err != nil {
		return err
	}
	dir := o.Dir
	if dir == "" {
		dir = "/"
	}
	if err := os.Chdir(dir); err != nil {
		return err
	}
	unix.Umask(0o027)
	if err := giveUp(); err != nil {
		return err
	}
	if err := restrict(); err != nil {
		return err
	}
	return &os.PathError{Op: "exec", Path: o.Program, Err: unix.Exec(o.Program, o.Command, o.Env)}
}

// root makes the root file system and changes to it.
func (o orders) root() error {
	at := func(p string) string { return filepath.Join(o.Root, p) }
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("mounts of its own: %w", err)
	}
	if err := mount("tmpfs", o.Root, "size=1m,mode=755", unix.MS_NOSUID|unix.MS_NODEV); err != nil {
		return err
	}
	for _, d := range []string{"usr", "proc", "dev", "etc", "tmp", "run", "var"} {
		if err := os.Mkdir(at(d), 0o755); err != nil {
			return err
		}
	}
	for _, l := range []string{"bin", "sbin", "lib", "lib32", "lib64"} {
		if to, err := os.Readlink("/" + l); err == nil {
			if err := os.Symlink(to, at(l)); err != nil {
				return err
			}
		}
	}
	if err := errors.Join(
		clone("/usr", at("usr"), unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV),
		mount("proc", at("proc"), "", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC),
		mount("tmpfs", at("tmp"), "size=64m,mode=1777", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC),
		mount("tmpfs", at("run"), "size=16m,mode=755", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC),
		mount("tmpfs", at("dev"), "size=64k,mode=755", unix.MS_NOSUID|unix.MS_NOEXEC),
	); err != nil {
		return err
	}
	if err := o.fillDev(at("dev")); err != nil {
		return err
	}
	if err := o.fillEtc(at("etc")); err != nil {
		return err
	}
	for _, b := range o.binds() {
		flags := uint64(unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV)
		if !b.write {
			flags |= unix.MOUNT_ATTR_RDONLY
		}
		if err := place(b.path, at(b.path), flags); err != nil {
			return fmt.Errorf("the path %s: %w", b.path, err)
		}
	}
	// The old root goes on top of the new one, and away.
	if err := os.Chdir(o.Root); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("a root of its own: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return err
	}
	for _, p := range []string{"/", "/dev"} {
		if err := unix.MountSetattr(unix.AT_FDCWD, p, 0, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}); err != nil {
			return fmt.Errorf("%s read-only: %w", p, err)
		}
	}
	return nil
}

func (o orders) fillDev(dev string) error {
	for _, d := range devices {
		if err := place("/dev/"+d, filepath.Join(dev, d), unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for l, to := range map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"} {
		if err := os.Symlink(to, filepath.Join(dev, l)); err != nil {
			return err
		}
	}
	shm := filepath.Join(dev, "shm")
	if err := os.Mkdir(shm, 0o1777); err != nil {
		return err
	}
	return mount("tmpfs", shm, "size=64m,mode=1777", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC)
}

func (o orders) fillEtc(dir string) error {
	for name, text := range map[string]string{
		"passwd": o.passwd(), "group": "root:x:0:\nnogroup:x:65534:\n", "hosts": "127.0.0.1 localhost\n::1 localhost\n",
		"resolv.conf": o.Resolv, "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	for _, name := range etc {
		err := place("/etc/"+name, filepath.Join(dir, name), unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("/etc/%s: %w", name, err)
		}
	}
	return nil
}

// place shows what is at from, a directory or a file, at to, which is made.
func place(from, to string, flags uint64) error {
	st, err := os.Stat(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if st.IsDir() {
		err = os.MkdirAll(to, 0o755)
	} else {
		var f *os.File
		if f, err = os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o644); err == nil {
			f.Close()
		}
	}
	if err != nil {
		return err
	}
	return clone(from, to, flags)
}

// clone mounts what is at from, with all below it, at to.
func clone(from, to string, flags uint64) error {
	if err := unix.Mount(from, to, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return &os.PathError{Op: "mount", Path: from, Err: err}
	}
	if err := unix.MountSetattr(unix.AT_FDCWD, to, unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: flags}); err != nil {
		return &os.PathError{Op: "mount", Path: from, Err: err}
	}
	return nil
}

func mount(kind, at, options string, flags uintptr) error {
	if err := unix.Mount(kind, at, kind, flags, options); err != nil {
		return &os.PathError{Op: "mount " + kind, Path: at, Err: err}
	}
	return nil
}

// giveUp gives up all that root can do inside, for good.
func giveUp() error {
	const noRoot = 1<<0 | 1<<1 | 1<<2 | 1<<3 // SECBIT_NOROOT, SECBIT_NO_SETUID_FIXUP, both locked
	if err := unix.Prctl(unix.PR_SET_SECUREBITS, noRoot, 0, 0, 0); err != nil {
		return fmt.Errorf("capabilities: %w", err)
	}
	for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) { // EINVAL: a kernel that does not have it
			return fmt.Errorf("capabilities: %w", err)
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&head, &none[0]); err != nil {
		return fmt.Errorf("capabilities: %w", err)
	}
	return nil
}

// find looks for the program in the directories of usr, as it will be seen inside.
func find(name string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, dir := range []string{"/usr/local/bin", "/usr/bin", "/usr/sbin"} {
		if st, err := os.Stat(filepath.Join(dir, name)); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
			return filepath.Join(dir, name), nil
		}
	}
	return "", &fs.PathError{Op: "exec", Path: name, Err: fs.ErrNotExist}
}

// environment is the program's: what is set for it, and what it finds inside.
func environment(set []string, s Spec) []string {
	env := []string{"PATH=/usr/local/bin:/usr/bin:/usr/sbin", "USER=" + s.User, "LOGNAME=" + s.User, "SHELL=/usr/sbin/nologin"}
	home := "HOME=/tmp"
	if len(s.Write) > 0 {
		home = "HOME=" + s.Write[0]
	}
	env = append(env, home)
	for _, kv := range set {
		name, _, _ := strings.Cut(kv, "=")
		if slices.Contains([]string{"PATH", "USER", "LOGNAME", "SHELL", "HOME", "NOTIFY_SOCKET"}, name) {
			continue // those of the part outside
		}
		env = append(env, kv)
	}
	return env
}
