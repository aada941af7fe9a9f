package apply

import (
	"errors"
	"strings"

	"imgbuild/init/base/mount"
	"imgbuild/init/settings/identity"

	"golang.org/x/crypto/ssh"
)

// The files of the node's identity; see package identity.
const (
	KeyDir        = "/var/lib/rancher/k3os/ssh"
	HostnameFile  = "/var/lib/rancher/k3os/hostname"
	MachineIDFile = "/var/lib/shelf/machine-id"

	spareKeys = "/run/shelf/ssh" // host keys for this boot alone
)

// MachineID shows the node's machine id in /etc/machine-id, and where dbus looked for it.
func (m Machine) MachineID() error {
	id, err := identity.MachineID(m.path(MachineIDFile))
	if id == "" {
		return err
	}
	return errors.Join(err, m.write("/etc/machine-id", id+"\n", 0o444),
		mount.Do(mount.Symlink{Path: m.path("/var/lib/dbus/machine-id"), Target: "/etc/machine-id"}))
}

// ParseKeys returns the lines of an authorized_keys text that are keys, and drops comments and what
// is none.
func ParseKeys(text []byte) []string {
	var keys []string
	for len(text) > 0 {
		key, comment, options, rest, err := ssh.ParseAuthorizedKey(text)
		if err != nil {
			break
		}
		line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
		if comment != "" {
			line += " " + comment
		}
		if len(options) > 0 {
			line = strings.Join(options, ",") + " " + line
		}
		keys, text = append(keys, line), rest
	}
	return keys
}
