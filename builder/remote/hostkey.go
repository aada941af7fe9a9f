package remote

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/terminal"
)

// trust decides whether a node is the one it was last time. Nodes make their host keys at their
// first boot and keep them through upgrades, so a changed one means another card, or another
// machine.
type trust struct {
	n     *Node
	o     Options
	file  string
	known ssh.HostKeyCallback // nil while there is no file
	pause func(func())        // around a question
	seen  ssh.PublicKey
	err   error // why it was not believed
}

func openTrust(n *Node, o Options) (*trust, error) {
	t := &trust{n: n, o: o, file: o.KnownHosts, pause: func(f func()) { f() }}
	switch {
	case o.Key == "", o.Key == "ask", o.Key == "accept-new", strings.HasPrefix(o.Key, "SHA256:"):
	default:
		return nil, fault.New(fault.Usage, "use key=ask, key=accept-new, or the fingerprint key=SHA256:...", "key=%s is not a way to check a host key", o.Key)
	}
	if t.file == "" {
		dir, err := folder()
		if err != nil {
			return nil, err
		}
		t.file = filepath.Join(dir, "known_hosts")
	}
	known, err := knownhosts.New(t.file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fault.Wrap(err, fault.Input, "correct or remove the line", "reading known hosts")
	}
	if err == nil {
		t.known = known
	}
	return t, nil
}

// wanted returns the keys that are known for the node.
func (t *trust) wanted() []knownhosts.KnownKey {
	if t.known == nil {
		return nil
	}
	// The library reports what it knows only when it is shown a key that it does not.
	var key *knownhosts.KeyError
	if errors.As(t.known(t.n.Address, &net.TCPAddr{}, strange{}), &key) {
		return key.Want
	}
	return nil
}

// strange is a key that nobody has.
type strange struct{}

func (strange) Type() string                        { return "none" }
func (strange) Marshal() []byte                     { return []byte("none") }
func (strange) Verify([]byte, *ssh.Signature) error { return errors.New("no key") }

// algorithms asks the node for a kind of key that is known, or it might show another one and seem
// to be a stranger.
func (t *trust) algorithms() []string {
	var list []string
	var keys []ssh.PublicKey
	if t.o.HostKey != nil {
		keys = append(keys, t.o.HostKey)
	} else {
		for _, k := range t.wanted() {
			keys = append(keys, k.Key)
		}
	}
	for _, k := range keys {
		switch kind := k.Type(); kind {
		case ssh.KeyAlgoRSA:
			list = append(list, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
		default:
			list = append(list, kind)
		}
	}
	return list // none: the library's own order
}

// check is asked about the key that the node shows.
func (t *trust) check(_ string, addr net.Addr, key ssh.PublicKey) error {
	t.seen = key
	t.err = t.judge(addr, key)
	return t.err
}

func (t *trust) judge(addr net.Addr, key ssh.PublicKey) error {
	print := ssh.FingerprintSHA256(key)
	if want := t.o.HostKey; want != nil {
		if bytes.Equal(key.Marshal(), want.Marshal()) {
			return nil
		}
		return fault.New(fault.Verify, "make sure that no other machine has this address", "%s shows the key %s, it is not the same machine", t.n.Host, print)
	}
	if strings.HasPrefix(t.o.Key, "SHA256:") {
		if print == t.o.Key {
			return nil
		}
		return fault.New(fault.Verify, "make sure that this is your node", "%s shows the key %s, not the one asked for", t.n.Host, print)
	}
	err := error(&knownhosts.KeyError{})
	if t.known != nil {
		err = t.known(t.n.Address, addr, key)
	}
	var unknown *knownhosts.KeyError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &unknown):
		return fault.Wrap(err, fault.Verify, "", "the key of %s", t.n.Host)
	case len(unknown.Want) > 0:
		return fault.New(fault.Verify,
			fmt.Sprintf("if its card was written again, remove the old key with: ssh-keygen -R %s", terminal.Quote(knownhosts.Normalize(t.n.Address))),
			"%s shows the key %s, but %s:%d has another one: this may be another machine", t.n.Host, print, unknown.Want[0].Filename, unknown.Want[0].Line)
	}
	if t.o.Key != "accept-new" {
		yes := false
		t.pause(func() {
			yes = t.o.Ask != nil && t.o.Ask(fmt.Sprintf("%s is not known yet; its key is %s %s. Is this your node?", t.n.Host, key.Type(), print))
		})
		if !yes {
			return fault.New(fault.Verify, "log in once with ssh, or use key=accept-new", "%s is not among the known hosts", t.n.Host)
		}
	}
	if err := t.note(key); err != nil {
		return err
	}
	t.o.Say("%s is noted in %s with the key %s", t.n.Host, t.file, print)
	return nil
}

// note appends the key, as ssh does.
func (t *trust) note(key ssh.PublicKey) error {
	wrap := func(err error) error { return fault.Wrap(err, fault.Device, "", "noting the key of %s", t.n.Host) }
	if err := os.MkdirAll(filepath.Dir(t.file), 0o700); err != nil {
		return wrap(err)
	}
	f, err := os.OpenFile(t.file, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return wrap(err)
	}
	line := knownhosts.Line([]string{t.n.Address}, key) + "\n"
	if end, err := f.Seek(0, 2); err == nil && end > 0 {
		last := make([]byte, 1)
		if _, err := f.ReadAt(last, end-1); err == nil && last[0] != '\n' {
			line = "\n" + line
		}
	}
	_, err = f.WriteString(line)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return wrap(err)
}
