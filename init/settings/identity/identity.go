// Package identity is what makes a node the same node after a reboot, an upgrade and a new card for
// the system: its name, its machine id and its ssh host keys. Each is made once and is on the
// data partition.
package identity

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/fault"

	"golang.org/x/crypto/ssh"
)

// MachineID returns the 32 hex digits in path, and makes them if there are none or they are
// damaged; see machine-id(5).
func MachineID(path string) (string, error) {
	data, err := os.ReadFile(path)
	if id := strings.TrimSpace(string(data)); err == nil && validID(id) {
		return id, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	var random [16]byte
	if _, err := rand.Read(random[:]); err != nil {
		return "", err
	}
	random[6] = random[6]&0x0F | 0x40 // a version 4 UUID, as dbus makes it
	random[8] = random[8]&0x3F | 0x80
	id := hex.EncodeToString(random[:])
	return id, write(path, []byte(id+"\n"), 0o444)
}

func validID(id string) bool {
	raw, err := hex.DecodeString(id)
	return err == nil && len(raw) == 16 && id == strings.ToLower(id) && strings.Trim(id, "0") != ""
}

// HostKeys makes the ssh host keys that are missing in dir, in OpenSSH's own format, and returns
// the paths of the private ones that can be used. A key that is there and damaged is replaced. An
// error reports both: a key that was replaced, for the next login warns of another host, and one
// that could not be made, as on a disk that is full.
func HostKeys(dir string) ([]string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	var paths []string
	var errs []error
	for _, kind := range []struct {
		name string
		make func() (any, error)
	}{
		{"ed25519", func() (any, error) { _, k, err := ed25519.GenerateKey(rand.Reader); return k, err }},
		{"ecdsa", func() (any, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }},
	} {
		path := filepath.Join(dir, "ssh_host_"+kind.name+"_key")
		data, missing := os.ReadFile(path)
		if missing == nil && usable(data) {
			paths = append(paths, path)
			continue
		}
		key, err := kind.make()
		if err == nil {
			err = writeKey(path, key)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("ssh host key: %w", err))
			continue
		}
		paths = append(paths, path)
		if !errors.Is(missing, fs.ErrNotExist) {
			errs = append(errs, fault.New(fault.Device, "ssh warns of it once: ssh-keygen -R HOST; look after the card, which may be failing",
				"the ssh host key of kind %s was damaged, and the node has a new one", kind.name))
		}
	}
	// An RSA key of a k3OS that lived here before is kept in use: its clients know it.
	if old := filepath.Join(dir, "ssh_host_rsa_key"); usableRSA(old) {
		paths = append(paths, old)
	}
	return paths, errors.Join(errs...)
}

// usable tries a key: one whose halves do not belong together any more is read without an error,
// and then nobody who trusts the one half can log in by the other.
func usable(data []byte) bool {
	signer, err := ssh.ParsePrivateKey(data)
	if err != nil {
		return false
	}
	sig, err := signer.Sign(rand.Reader, data)
	return err == nil && signer.PublicKey().Verify(data, sig) == nil
}

func usableRSA(path string) bool {
	data, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	key, err := ssh.ParseRawPrivateKey(data)
	k, ok := key.(*rsa.PrivateKey)
	return err == nil && ok && k.N.BitLen() >= 2048
}

func writeKey(path string, key any) error {
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		return err
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		return err
	}
	if err := write(path+".pub", ssh.MarshalAuthorizedKey(signer.PublicKey()), 0o644); err != nil {
		return err
	}
	return write(path, pem.EncodeToMemory(block), 0o600)
}

// Hostname returns the node's name: configured wins and is not kept; else the one that was
// generated before and is in path; else shelf- and the last six hex digits of the first wired MAC
// address, which is then kept in path.
func Hostname(path, configured string, mac net.HardwareAddr) (string, error) {
	if configured != "" {
		return configured, nil
	}
	data, err := os.ReadFile(path)
	if name := strings.TrimSpace(string(data)); err == nil && name != "" {
		return name, nil
	}
	tail := mac
	if len(tail) < 3 {
		tail = make([]byte, 3)
		if _, err := rand.Read(tail); err != nil {
			return "", err
		}
	}
	name := "shelf-" + hex.EncodeToString(tail[len(tail)-3:])
	return name, write(path, []byte(name+"\n"), 0o644)
}

// WiredMAC is the address of the first wired network card by name, below sys (/sys); nil if there
// is none. Cards are those with a device that are not wireless.
func WiredMAC(sys string) net.HardwareAddr {
	dirs, _ := filepath.Glob(filepath.Join(sys, "class/net/*"))
	sort.Strings(dirs)
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, "device")); err != nil {
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, "phy80211")); err == nil {
			continue
		}
		text, _ := os.ReadFile(filepath.Join(dir, "address"))
		if mac, err := net.ParseMAC(strings.TrimSpace(string(text))); err == nil && len(mac) == 6 {
			return mac
		}
	}
	return nil
}

func write(path string, data []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return atomicfile.Write(path, data, mode)
}
