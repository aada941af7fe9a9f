package config

import (
	"encoding/base64"
	"fmt"
	"math/big"
	"net/url"
	"strings"

	"golang.org/x/crypto/ssh"
)

// NobodyCanLogIn is the sentence that the build, the check and the node print when there is no ssh
// key.
const NobodyCanLogIn = "nobody will be able to log in: there is no ssh key"

// checkIdentity looks at what makes a node the same node on a new card.
func (k *checker) checkIdentity() {
	if text := k.c.Shelf.SSHHostKey; text != "" {
		if _, err := ssh.ParsePrivateKey([]byte(text)); err != nil {
			k.report(Error, "shelf.ssh_host_key", "make one with: ssh-keygen -t ed25519 -N '' -f FILE", "this is not a private key that sshd can use; the node makes a new one")
		}
	}
	if word := k.c.Shelf.NodePassword; word != strings.Join(strings.Fields(word), "") {
		k.report(Error, "shelf.node_password", "write one word", "the password has white space in it, and the node makes a new one")
	}
}

func (k *checker) checkLogin() {
	usable := 0
	for i, key := range k.c.SSHAuthorizedKeys {
		path := index("ssh_authorized_keys", i)
		severity, fix, why := sshKey(key)
		if why != "" {
			k.report(severity, path, fix, "%s", why)
		}
		if severity != Error {
			usable++
		}
	}
	password := k.c.K3OS.Password
	switch {
	case usable > 0:
	case password != "":
		k.report(Warning, "ssh_authorized_keys", "put a line of ~/.ssh/id_ed25519.pub under ssh_authorized_keys",
			"nobody will be able to log in over the network: there is no ssh key, and the password is for the console only")
	default:
		k.report(Warning, "ssh_authorized_keys", "put a line of ~/.ssh/id_ed25519.pub under ssh_authorized_keys", NobodyCanLogIn)
	}
	switch {
	case password == "":
	case !Hashed(password):
		if strings.HasPrefix(password, "$") {
			k.report(Warning, "k3os.password", "make a hash with: openssl passwd -6", "it begins with $ but is not a crypt(5) hash; it is taken as clear text")
		} else {
			k.report(Warning, "k3os.password", "make a hash with: openssl passwd -6", "the password is here in clear text; the node hashes and erases it at import")
		}
	case strings.HasPrefix(password, "$") && !ConsoleHash(password):
		k.report(Warning, "k3os.password", "make a hash with: openssl passwd -6, or write clear text, which the node hashes at import",
			"the login on the console does not know this form of hash, such as Raspberry Pi Imager 2 makes; ssh by key works all the same")
	case strings.HasPrefix(password, "$1$"):
		k.report(Warning, "k3os.password", "make a new one with: openssl passwd -6", "an MD5 hash is quick to crack")
	}
}

// ConsoleHash reports whether the login on the console can check a password of this form: it is
// busybox's, which knows what the node itself makes (SHA-512), SHA-256 and MD5.
func ConsoleHash(hash string) bool {
	return Hashed(hash) && (strings.HasPrefix(hash, "$6$") || strings.HasPrefix(hash, "$5$") || strings.HasPrefix(hash, "$1$"))
}

var account = pattern{text: `^(?:github|gitlab|launchpad):[A-Za-z0-9](?:[A-Za-z0-9._+-]{0,254})$`}

// sshKey checks one item of ssh_authorized_keys; why is empty for a good one.
func sshKey(line string) (s Severity, fix, why string) {
	line = strings.TrimSpace(line)
	lower := strings.ToLower(line)
	switch {
	case line == "":
		return Error, "remove it", "the item is empty"
	case strings.Contains(line, "PRIVATE KEY"):
		return Error, "use the file that ends in .pub, and make a new key pair: this one has been shown", "this is a private key"
	case strings.HasPrefix(lower, "github:"), strings.HasPrefix(lower, "gitlab:"), strings.HasPrefix(lower, "launchpad:"):
		if !account.MatchString(line) {
			return Error, "write github:USER", "this names no account"
		}
		return Note, "", ""
	case strings.HasPrefix(lower, "http://"), strings.HasPrefix(lower, "https://"):
		u, err := url.Parse(line)
		if err != nil || u.Host == "" {
			return Error, "write https://HOST/PATH", "this is not a URL"
		}
		if u.Scheme == "http" {
			return Warning, "use https://", "anybody on the way can change keys that are fetched by http"
		}
		return Note, "", ""
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		fix := "copy the whole line of the .pub file"
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[1], "AAAA") {
			if _, err := base64.StdEncoding.DecodeString(f[1]); err != nil {
				fix = "the part after AAAA was cut or broken; " + fix
			}
		}
		return Error, fix, "this is not an ssh public key"
	}
	switch key.Type() {
	case "ssh-dss":
		return Error, "make a new key with: ssh-keygen -t ed25519", "sshd no longer accepts DSA keys"
	case "ssh-rsa":
		var rsa struct {
			Type string
			E, N *big.Int
		}
		if ssh.Unmarshal(key.Marshal(), &rsa) == nil && rsa.N.BitLen() < 2048 {
			return Warning, "make a new key with: ssh-keygen -t ed25519", fmt.Sprintf("an RSA key of %d bits is weak", rsa.N.BitLen())
		}
	}
	return Note, "", ""
}

var hostLabel = pattern{text: `^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$`}

// checkHostname: RFC 1123, in small letters as Kubernetes wants its node names, and no longer than
// Linux takes.
func (k *checker) checkHostname() {
	if s, fix, why := hostName1123(k.c.Hostname); why != "" {
		k.report(s, "hostname", fix, "%s", why)
	}
}

func hostName1123(h string) (s Severity, fix, why string) {
	if h == "" {
		return Note, "", ""
	}
	if len(h) > 64 {
		return Error, "choose a shorter one", fmt.Sprintf("a host name has at most 64 characters, this has %d; it is left out", len(h))
	}
	for _, label := range strings.Split(h, ".") {
		switch {
		case hostLabel.MatchString(label):
		case hostLabel.MatchString(strings.ToLower(label)):
			s, fix, why = Warning, "write "+strings.ToLower(h), "Kubernetes takes small letters only"
		default:
			return Error, "use small letters, digits and - inside, 63 at most", quote(h) + " is not a host name; it is left out"
		}
	}
	if readsAsAddress(h) {
		return Warning, "write node-" + strings.ToLower(strings.ReplaceAll(h, ".", "-")), "programs read the host name " + quote(h) + " as an IPv4 address"
	}
	return s, fix, why
}

// readsAsAddress reports whether inet_aton(3), and so every program that looks up a name, takes it
// for an address: one to four numbers, also octal and hexadecimal.
func readsAsAddress(name string) bool {
	labels := strings.Split(name, ".")
	for _, l := range labels {
		digits, set := l, "0123456789"
		if rest, hex := strings.CutPrefix(strings.ToLower(l), "0x"); hex {
			digits, set = rest, "0123456789abcdef"
		}
		if strings.Trim(digits, set) != "" {
			return false
		}
	}
	return len(labels) <= 4
}

// UsableHostname is the host name, unless it is none: the node then has the name that it makes of
// itself, for a name that is none would stay with the Kubernetes node.
func (c *Config) UsableHostname() string {
	if s, _, _ := hostName1123(c.Hostname); s == Error {
		return ""
	}
	return c.Hostname
}
