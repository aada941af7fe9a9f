package apply

import (
	"errors"
	"strings"

	"imgbuild/init/base/mount"
	"imgbuild/init/settings/identity"

	"golang.org/x/crypto/ssh"
)

// Where the node keeps who it is; see package identity.
const (
	KeyDir        = "/var/lib/rancher/k3os/ssh"
	HostnameFile  = "/var/lib/rancher/k3os/hostname"
	MachineIDFile = "/var/lib/shelf/machine-id"

	spareKeys = "/run/shelf/ssh" // host keys for this boot alone
)

// SSHD makes the host keys that are missing and writes sshd's configuration again at every boot, so
// that an upgrade reaches it: keys only, nobody but User, no root. With password, a password is
// asked for on the console alone.
func (m Machine) SSHD() error {
	keys, damaged := identity.HostKeys(m.path(KeyDir))
	if len(keys) == 0 { // a data partition that is full, or takes no writes: the node must be reached all the same
		var err error
		if keys, err = identity.HostKeys(m.path(spareKeys)); err != nil {
			return errors.Join(damaged, err)
		}
	}
	var b strings.Builder
	b.WriteString("# Written by shelf at every boot; what is changed here does not last.\nPort 22\n")
	for _, k := range keys {
		b.WriteString("HostKey " + strings.TrimPrefix(k, m.Root) + "\n")
	}
	for _, line := range []string{
		"PermitRootLogin no", "PasswordAuthentication no", "KbdInteractiveAuthentication no", "AuthenticationMethods publickey",
		"AllowUsers " + User, "AuthorizedKeysFile .ssh/authorized_keys", "UsePAM yes", "X11Forwarding no", "PrintMotd no",
		"UseDNS no", "AcceptEnv LANG LC_*", "Subsystem sftp /usr/lib/openssh/sftp-server", "PidFile none",
	} {
		b.WriteString(line + "\n")
	}
	return errors.Join(damaged, m.write("/etc/ssh/sshd_config", b.String(), 0o644))
}

// MachineID shows the node's machine id in /etc/machine-id, and where dbus looked for it.
func (m Machine) MachineID() error {
	id, err := identity.MachineID(m.path(MachineIDFile))
	if id == "" {
		return err
	}
	return errors.Join(err, m.write("/etc/machine-id", id+"\n", 0o444),
		mount.Do(mount.Symlink{Path: m.path("/var/lib/dbus/machine-id"), Target: "/etc/machine-id"}))
}

// ParseKeys gives the lines of an authorized_keys text that are keys, and drops comments and what
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
