package apply

import (
	"errors"
	"strings"

	"imgbuild/init/settings/identity"
)

// sshdOptions are the settings of sshd beyond its host keys, each with its reason. A test holds
// them against a published baseline, as the real sshd reads them.
var sshdOptions = []struct{ line, why string }{
	{"PermitRootLogin no", "an administrator logs in as a user and uses sudo"},
	{"AllowUsers " + User, "no account of a service is ever logged in to"},
	{"AuthenticationMethods publickey", "keys only, so there is nothing to guess"},
	{"PasswordAuthentication no", "as above"},
	{"KbdInteractiveAuthentication no", "as above"},
	{"AuthorizedKeysFile .ssh/authorized_keys", "the one file that the configuration fills"},
	{"UsePAM yes", "k3os.environment and limits reach a login through PAM"},

	// Clients of the last ten years have one of each. No Diffie-Hellman of groups: it costs a small
	// board more than the client that asks for it. No curves of NIST, no MAC over plain text.
	{"KexAlgorithms mlkem768x25519-sha256,sntrup761x25519-sha512,sntrup761x25519-sha512@openssh.com,curve25519-sha256,curve25519-sha256@libssh.org", ""},
	{"Ciphers chacha20-poly1305@openssh.com,aes256-gcm@openssh.com,aes128-gcm@openssh.com,aes256-ctr,aes192-ctr,aes128-ctr", ""},
	{"MACs hmac-sha2-512-etm@openssh.com,hmac-sha2-256-etm@openssh.com,umac-128-etm@openssh.com", ""},

	{"LoginGraceTime 60", "half of the default; a busy board needs some seconds for a login"},
	{"MaxAuthTries 6", "the default: an agent offers its keys one by one, and keys cannot be guessed"},
	{"X11Forwarding no", "no X programs here"},
	{"AllowAgentForwarding no", "root of the node could use the agent of a user who is logged in; ssh -J reaches further hosts without it"},
	{"AllowTcpForwarding local", "ssh -L and -J reach the API server and services; -R would open ports of the node for the laptop"},
	{"AllowStreamLocalForwarding local", "as above"},
	{"PermitTunnel no", "networks come from the configuration"},
	{"GatewayPorts no", "forwarded ports are for the node alone"},
	{"PermitUserEnvironment no", "a variable could replace the shell's libraries"},
	{"UseDNS no", "a login does not wait for a name server"},
	{"PrintMotd no", "PAM prints it"},
	{"AcceptEnv LANG LC_*", "language only"},
	{"Subsystem sftp /usr/lib/openssh/sftp-server", "scp and sftp"},
	{"PidFile none", "the init supervises it"},
}

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
	for _, o := range sshdOptions {
		if o.why != "" {
			b.WriteString("# " + o.why + "\n")
		}
		b.WriteString(o.line + "\n")
	}
	return errors.Join(damaged, m.write("/etc/ssh/sshd_config", b.String(), 0o644))
}
