package remote

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/userfile"
)

// names of private keys in ~/.ssh, in ssh's order.
var names = []string{"id_ed25519", "id_ecdsa", "id_rsa"}

// keys are those that a login tries: the agent's first, for they cost no passphrase.
type keys struct {
	n     *Node
	o     Options
	agent net.Conn // nil without one
	files []string
	pause func(func())
	list  []string // what was tried, for people
	err   error    // why the one key that was to be tried cannot be used
}

func openKeys(n *Node, o Options) (*keys, error) {
	k := &keys{n: n, o: o, pause: func(f func()) { f() }}
	if o.Identity != "" {
		f, err := userfile.Open("identity", o.Identity)
		if err != nil {
			return nil, err
		}
		f.Close()
		k.files = []string{o.Identity}
	} else if dir, err := folder(); err == nil {
		for _, name := range names {
			if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
				k.files = append(k.files, filepath.Join(dir, name))
			}
		}
	}
	if socket := os.Getenv("SSH_AUTH_SOCK"); socket != "" {
		k.agent, _ = net.Dial("unix", socket) // an agent that is gone is as good as none
	}
	if k.agent == nil && len(k.files) == 0 {
		return nil, fault.New(fault.Input, "make one with ssh-keygen and put its public half under ssh_authorized_keys, or give it with identity=FILE",
			"there is no private key to log in on %s with", n.Host)
	}
	return k, nil
}

func (k *keys) close() {
	if k.agent != nil {
		k.agent.Close()
	}
}

// tried lists what was tried.
func (k *keys) tried() string {
	if len(k.list) == 0 {
		return "no key at all"
	}
	return "the keys " + strings.Join(k.list, ", ")
}

// signers returns the keys in the order in which they are offered. One that is locked is unlocked
// only when the node would take it.
func (k *keys) signers() ([]ssh.Signer, error) {
	var held, out []ssh.Signer
	if k.agent != nil {
		held, _ = agent.NewClient(k.agent).Signers() // one that cannot answer is as good as none
	}
	if k.o.Identity == "" {
		for _, s := range held {
			k.list = append(k.list, "agent "+ssh.FingerprintSHA256(s.PublicKey()))
		}
		out = append(out, held...)
	}
	for _, file := range k.files {
		s, err := k.load(file, held)
		if err != nil && k.o.Identity != "" {
			k.err = fault.Wrap(err, fault.Input, "give a private key that ssh-keygen has made", "%s", file)
			return nil, k.err
		}
		if err != nil || s == nil {
			continue
		}
		k.list = append(k.list, file)
		out = append(out, s)
	}
	return out, nil
}

// load reads a private key. The agent's is taken instead where it holds the same one; nil means
// that the agent has offered it already.
func (k *keys) load(file string, held []ssh.Signer) (ssh.Signer, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	s, err := ssh.ParsePrivateKey(data)
	var missing *ssh.PassphraseMissingError
	var public ssh.PublicKey
	switch {
	case err == nil:
		public = s.PublicKey()
	case errors.As(err, &missing):
		if public = missing.PublicKey; public == nil { // an old format, which has it only next to it
			if public, err = beside(file); err != nil {
				return nil, err
			}
		}
		s = &locked{public: public, open: func() (ssh.Signer, error) { return k.unlock(file, data) }}
	default:
		return nil, err
	}
	for _, h := range held {
		if string(h.PublicKey().Marshal()) == string(public.Marshal()) {
			if k.o.Identity != "" {
				return h, nil
			}
			return nil, nil
		}
	}
	return s, nil
}

func beside(file string) (ssh.PublicKey, error) {
	data, err := os.ReadFile(file + ".pub")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("it has a passphrase, and there is no %s.pub", file)
	}
	if err != nil {
		return nil, err
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey(data)
	return key, err
}

// unlock asks for the passphrase, three times at most.
func (k *keys) unlock(file string, data []byte) (s ssh.Signer, err error) {
	err = errors.New("it has a passphrase, and nobody is there to type it; use ssh-add")
	for range 3 {
		var secret []byte
		k.pause(func() {
			if k.o.Secret != nil {
				secret = k.o.Secret("Passphrase of " + file + ": ")
			}
		})
		if len(secret) == 0 {
			break
		}
		if s, err = ssh.ParsePrivateKeyWithPassphrase(data, secret); err == nil {
			return s, nil
		}
	}
	k.err = fault.Wrap(err, fault.Input, "", "%s", file)
	return nil, k.err
}

// locked is a private key behind a passphrase, which is asked for at the first signature.
type locked struct {
	public ssh.PublicKey
	open   func() (ssh.Signer, error)
	signer ssh.Signer
}

func (l *locked) PublicKey() ssh.PublicKey { return l.public }

func (l *locked) Sign(r io.Reader, data []byte) (*ssh.Signature, error) {
	return l.SignWithAlgorithm(r, data, "")
}

// SignWithAlgorithm makes an RSA key usable: its plain signature, SHA-1, is refused everywhere.
func (l *locked) SignWithAlgorithm(r io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	if l.signer == nil {
		s, err := l.open()
		if err != nil {
			return nil, err
		}
		l.signer = s
	}
	if r == nil {
		r = rand.Reader
	}
	if a, ok := l.signer.(ssh.AlgorithmSigner); ok && algorithm != "" {
		return a.SignWithAlgorithm(r, data, algorithm)
	}
	return l.signer.Sign(r, data)
}
