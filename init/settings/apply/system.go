// Package apply makes a configuration true on the running node: names, keys, passwords, files,
// kernel settings and the commands of its phases. Each function does one thing and can be called
// again; a failing one does not stop the others.
//
// Files are written below Root, which is empty on a node and a directory in tests.
package apply

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"syscall"

	"imgbuild/init/base/mount"
	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
)

// User is who logs in, as in k3OS.
const (
	User = "rancher"
	Home = "/home/rancher"
)

// Machine is where to apply.
type Machine struct {
	Root     string // before every path
	UID, GID int    // of User
	Track    *Track // nil: nothing is taken back
}

// Here is the running node.
var Here = Machine{UID: 1000, GID: 1000, Track: &Track{}}

func (m Machine) path(p string) string { return filepath.Join(m.Root, p) }

func (m Machine) write(path, text string, mode fs.FileMode) error {
	path = m.path(path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return atomicfile.Write(path, []byte(text), mode)
}

// Names writes the host name to where programs look for it; the kernel gets it by Hostname.
func (m Machine) Names(host string) error {
	return errors.Join(m.write("/etc/hostname", host+"\n", 0o644), m.write("/etc/hosts", hostsText(host), 0o644))
}

// hostsText is /etc/hosts for a host name.
func hostsText(host string) string {
	short, _, _ := strings.Cut(host, ".")
	own := host
	if short != host {
		own += " " + short
	}
	return "127.0.0.1\tlocalhost\n127.0.1.1\t" + own + "\n::1\tlocalhost ip6-localhost ip6-loopback\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
}

// Keys makes authorized_keys exactly these keys: one that was taken out of the configuration does
// not open the door any more. Lines that are not keys themselves (github:USER, addresses) are left
// to Fetch, which gives their keys.
func (m Machine) Keys(keys []string) error {
	dir := m.path(Home + "/.ssh")
	if err := mount.Do(mount.Dir{Path: m.path(Home), Mode: 0o700, UID: m.UID, GID: m.GID}, mount.Dir{Path: dir, Mode: 0o700, UID: m.UID, GID: m.GID}); err != nil {
		return err
	}
	var b strings.Builder
	for _, k := range keys {
		if k = strings.TrimSpace(k); k != "" && !Remote(k) {
			b.WriteString(strings.ReplaceAll(k, "\n", " ") + "\n")
		}
	}
	return atomicfile.WriteAs(filepath.Join(dir, "authorized_keys"), []byte(b.String()), 0o600, m.UID, m.GID)
}

// Remote reports whether an entry of ssh_authorized_keys names a place where keys are, and no key.
func Remote(key string) bool {
	key = strings.ToLower(key)
	for _, p := range []string{"github:", "gitlab:", "launchpad:", "http://", "https://"} {
		if strings.HasPrefix(key, p) {
			return true
		}
	}
	return false
}

// HashPassword puts a hash in the place of a password in clear text, which an import would have
// hashed and which is in the node's own files.
func HashPassword(cfg *config.Config) error {
	if p := cfg.K3OS.Password; p != "" && !config.Hashed(p) {
		var salt [16]byte
		if _, err := rand.Read(salt[:]); err != nil {
			return err
		}
		cfg.K3OS.Password = config.HashPassword(p, salt[:])
	}
	return nil
}

// accounts is held while a file of accounts is changed: users of storage come and go at any time.
var accounts sync.Mutex

// Edit changes a file of accounts; its mode and owner stay.
func (m Machine) Edit(path string, change func(old string) string) error {
	accounts.Lock()
	defer accounts.Unlock()
	path = m.path(path)
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text := change(string(data))
	if text == string(data) {
		return nil
	}
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	uid, gid := owner(st)
	return atomicfile.WriteAs(path, []byte(text), st.Mode().Perm(), uid, gid)
}

// Password puts a crypt(5) hash into /etc/shadow for User; an empty one locks the password. sshd
// takes none anyway. Clear text never gets there.
func (m Machine) Password(hash string) error {
	switch {
	case hash == "":
		hash = "!"
	case !config.Hashed(hash):
		return fault.New(fault.Internal, "give a hash as mkpasswd prints it", "k3os.password is clear text")
	}
	if strings.ContainsAny(hash, ":\n") {
		return fault.New(fault.Input, "give a hash as mkpasswd prints it", "k3os.password cannot be written to /etc/shadow")
	}
	accounts.Lock()
	defer accounts.Unlock()
	path := m.path("/etc/shadow")
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	found := false
	for _, line := range strings.Split(strings.TrimRight(string(data), "\n"), "\n") {
		f := strings.Split(line, ":")
		if f[0] == User && len(f) > 1 {
			f[1], found = hash, true
			line = strings.Join(f, ":")
		}
		out.WriteString(line + "\n")
	}
	if !found {
		out.WriteString(User + ":" + hash + ":::::::\n")
	}
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	uid, gid := owner(st)
	return atomicfile.WriteAs(path, out.Bytes(), st.Mode().Perm(), uid, gid)
}

// Sudo lets User do everything without a password, as in k3OS.
func (m Machine) Sudo() error {
	return m.write("/etc/sudoers.d/90-shelf", User+" ALL=(ALL:ALL) NOPASSWD: ALL\n", 0o440)
}

// Sysctls writes kernel settings, sorted by name so that every boot does the same. Names are read
// as sysctl(8) reads them. One of an interface that is not there yet is not an error: LinkSysctls
// writes it when the interface appears.
func (m Machine) Sysctls(values map[string]string) error {
	var errs []error
	named := map[string]bool{}
	for _, name := range sorted(values) {
		full := m.sysctlFile(name)
		named[full] = true
		if _, ofLink := config.SysctlLink(name); ofLink {
			if _, err := os.Stat(filepath.Dir(full)); errors.Is(err, fs.ErrNotExist) {
				continue
			}
		}
		if err := m.sysctl(full, values[name]); err != nil {
			errs = append(errs, fault.Wrap(err, fault.Input, "look whether the name is right and its module is in k3os.modules", "k3os.sysctls.%s", name))
		}
	}
	if m.Track != nil {
		errs = append(errs, m.dropSysctls(named))
	}
	return errors.Join(errs...)
}

// LinkSysctls writes the kernel settings of one interface that has appeared.
func (m Machine) LinkSysctls(link string, values map[string]string) error {
	var errs []error
	for _, name := range sorted(values) {
		if of, ok := config.SysctlLink(name); ok && of == link {
			errs = append(errs, fault.Wrap(m.sysctl(m.sysctlFile(name), values[name]), fault.Input, "look whether the name is right", "k3os.sysctls.%s", name))
		}
	}
	return errors.Join(errs...)
}

// sysctlFile returns the file of a kernel setting.
func (m Machine) sysctlFile(name string) string {
	return filepath.Join(m.path("/proc/sys"), filepath.Clean("/"+config.SysctlPath(name)))
}

// sysctl writes one setting and remembers what it was.
func (m Machine) sysctl(path, value string) error {
	if m.Track != nil {
		m.Track.mu.Lock()
		defer m.Track.mu.Unlock()
		if _, known := m.Track.sysctls[path]; !known {
			old, err := os.ReadFile(path)
			if err != nil && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, syscall.EIO) { // some can be written only
				return err
			}
			if err == nil {
				if m.Track.sysctls == nil {
					m.Track.sysctls = map[string]string{}
				}
				m.Track.sysctls[path] = strings.TrimRight(string(old), "\n")
			}
		}
	}
	return setting(path, value)
}

// setting writes to a file of /proc, which must be there.
func setting(path, value string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value + "\n")
	return errors.Join(err, f.Close())
}

func sorted(m map[string]string) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// Files writes write_files. Parents are made 0755 root. An item that fails is reported; the others
// are written. Files of an earlier configuration that are not named any more are taken back.
func (m Machine) Files(files []config.File) error {
	var errs []error
	named := map[string]bool{}
	for _, f := range files {
		if config.NodeFile(f.Path) != "" || !filepath.IsAbs(f.Path) {
			continue // the check has reported it
		}
		named[filepath.Clean("/"+f.Path)] = true
		if err := m.file(f); err != nil {
			errs = append(errs, fault.Wrap(err, fault.Input, "correct the item in the configuration", "write_files: %s", f.Path))
		}
	}
	if m.Track != nil {
		errs = append(errs, m.dropFiles(named))
	}
	return errors.Join(errs...)
}

func (m Machine) file(f config.File) error {
	data, err := f.Data()
	if err != nil {
		return err
	}
	uid, gid := os.Getuid(), os.Getgid()
	if f.Owner != "" {
		if uid, gid, err = m.owner(f.Owner); err != nil {
			return err
		}
	}
	path := m.path(filepath.Clean("/" + f.Path))
	if data, err = m.combined(f, path, data); err != nil {
		return err
	}
	if m.Track != nil {
		if err := m.remember(filepath.Clean("/"+f.Path), data); err != nil {
			return err
		}
	}
	if err := m.parents(filepath.Dir(path)); err != nil {
		return err
	}
	return atomicfile.WriteAs(path, data, f.Mode(), uid, gid)
}

// combined returns what is to be in a file: after what is there already with append, once, and of
// /etc/hosts after the node's own lines, without which sudo and others do not find their own host.
func (m Machine) combined(f config.File, path string, data []byte) ([]byte, error) {
	if filepath.Clean("/"+f.Path) == "/etc/hosts" {
		host, err := os.ReadFile(m.path("/etc/hostname"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		own := []byte(hostsText(strings.TrimSpace(string(host))))
		return append(own, bytes.TrimPrefix(data, own)...), nil
	}
	if !f.Append {
		return data, nil
	}
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	// Lines of an earlier configuration are removed first.
	if w, ours := readNote(m.note(filepath.Clean("/" + f.Path))); m.Track != nil && ours && err == nil && hashOf(old) == w.SHA256 {
		if old = nil; w.Before != nil {
			if old, err = os.ReadFile(m.note(filepath.Clean("/"+f.Path)) + ".before"); err != nil {
				return nil, err
			}
		}
	}
	if bytes.Contains(old, data) {
		return old, nil
	}
	return append(old, data...), nil
}

// parents makes the directories that are missing. Those below a home belong to whose home it is.
func (m Machine) parents(dir string) error {
	if _, err := os.Stat(dir); err == nil || filepath.Dir(dir) == dir {
		return err
	}
	if err := m.parents(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	if strings.HasPrefix(dir, m.path(Home)+"/") {
		return os.Chown(dir, m.UID, m.GID)
	}
	return nil
}
