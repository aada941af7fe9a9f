package identity

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"

	"imgbuild/init/contract/fault"
)

// TakeHostKey puts a private key in PEM into dir as the ssh host key of its kind, unless there is a
// key of that kind.
func TakeHostKey(dir string, text []byte) error {
	signer, err := ssh.ParsePrivateKey(text)
	if err != nil || !usable(text) {
		return fault.New(fault.Input, "correct shelf.ssh_host_key, or remove it", "the ssh host key of the configuration cannot be used; the node has one of its own")
	}
	kind := map[string]string{ssh.KeyAlgoED25519: "ed25519", ssh.KeyAlgoECDSA256: "ecdsa", ssh.KeyAlgoRSA: "rsa"}[signer.PublicKey().Type()]
	if kind == "" {
		return fault.New(fault.Input, "make one with: ssh-keygen -t ed25519", "the ssh host key of the configuration is of the kind %s, which is not used here", signer.PublicKey().Type())
	}
	path := filepath.Join(dir, "ssh_host_"+kind+"_key")
	if _, err := os.Lstat(path); err == nil {
		return nil
	}
	if err := Take(path, append(bytes.TrimSpace(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))), '\n'), 0o600); err != nil {
		return err
	}
	return write(path+".pub", ssh.MarshalAuthorizedKey(signer.PublicKey()), 0o644)
}

// Take writes a file, unless there is one that holds something.
func Take(path string, data []byte, mode os.FileMode) error {
	old, err := os.ReadFile(path)
	switch {
	case err == nil && strings.TrimSpace(string(old)) != "":
		return nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return write(path, data, mode)
}
