package backup

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"imgbuild/init/base/guard"
	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/fault"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
	"golang.org/x/sys/unix"
)

// names in Dir.
const (
	keyName   = "id_ed25519"
	knownName = "known_hosts"
)

// dialLimit is for the connection and the login; stallLimit for one answer of the server.
const (
	dialLimit  = 30 * time.Second
	stallLimit = 2 * time.Minute
)

// Key returns the node's key for backup servers, made when there is none, and its public half as a
// line for authorized_keys.
func (j *Job) Key() (ssh.Signer, string, error) {
	file := j.path(path.Join(Dir, keyName))
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return nil, "", err
		}
		_, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, "", err
		}
		block, err := ssh.MarshalPrivateKey(private, "")
		if err != nil {
			return nil, "", err
		}
		text = pem.EncodeToMemory(block)
		if err := atomicfile.Write(file, text, 0o600); err != nil {
			return nil, "", err
		}
	} else if err != nil {
		return nil, "", err
	}
	signer, err := ssh.ParsePrivateKey(text)
	if err != nil {
		return nil, "", fault.Wrap(err, fault.Input, "remove it, and a new one is made", "the key %s", file)
	}
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey()))) + " shelf-backup@" + strings.ToLower(j.Host)
	return signer, line, nil
}

// openSFTP logs in and makes the directory if it is not there.
func (j *Job) openSFTP(ctx context.Context, t target) (*place, error) {
	p, done, err := j.login(ctx, t)
	if err != nil {
		return nil, err
	}
	return &place{list: p.list, put: p.put, remove: p.remove, close: done}, nil
}

// login is openSFTP; done ends the connection.
func (j *Job) login(ctx context.Context, t target) (p *sftpPlace, done func(), err error) {
	signer, line, err := j.Key()
	if err != nil {
		return nil, nil, err
	}
	address := net.JoinHostPort(t.host, t.port)
	pinned, err := j.pinned(address)
	if err != nil {
		return nil, nil, err
	}
	var shown ssh.PublicKey
	config := &ssh.ClientConfig{User: t.user, Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyAlgorithms: algorithms(pinned),
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			shown = key
			if pinned != nil && !bytes.Equal(pinned.Marshal(), key.Marshal()) {
				return fault.New(fault.Verify, cmp.Or(j.FixHost, "if it was reinstalled, run `sudo shelf backup forget`, or correct backup.host_key"),
					"%s shows another host key than it did before: it may be another machine", address)
			}
			return nil
		}}
	conn, err := (&net.Dialer{Timeout: dialLimit}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, nil, fault.Wrap(err, fault.Network, "", "the backup server does not answer")
	}
	stop := context.AfterFunc(ctx, func() {
		defer guard.Catch()
		conn.Close()
	})
	_ = conn.SetDeadline(time.Now().Add(dialLimit))
	c, chans, reqs, err := ssh.NewClientConn(conn, address, config)
	if err != nil {
		stop()
		conn.Close()
		var f *fault.Error
		if !errors.As(err, &f) && strings.Contains(err.Error(), "unable to authenticate") {
			return nil, nil, fault.New(fault.Input, "add this line to its authorized_keys: "+line, "%s does not let %s in", address, t.user)
		}
		return nil, nil, fault.Wrap(err, fault.Network, "", "the backup server %s", address)
	}
	_ = conn.SetDeadline(time.Now().Add(stallLimit))
	if pinned == nil { // the first contact, and the login has worked
		if err := j.pin(address, shown); err != nil {
			c.Close()
			return nil, nil, err
		}
		j.say("%s: its host key %s is kept from now on", address, ssh.FingerprintSHA256(shown))
	}
	client, err := sftp.NewClient(ssh.NewClient(c, chans, reqs))
	if err != nil {
		stop()
		c.Close()
		return nil, nil, fault.Wrap(err, fault.Network, "", "the backup server %s has no sftp", address)
	}
	p = &sftpPlace{client, conn, t.dir}
	if err := client.MkdirAll(t.dir); err != nil {
		client.Close()
		c.Close()
		return nil, nil, fault.New(fault.Input, "make it there, for "+t.user+" to write to", "the directory %s on %s: %w", t.dir, address, err)
	}
	return p, func() { stop(); client.Close(); c.Close() }, nil
}

// sftpPlace is a directory reached by sftp.
type sftpPlace struct {
	*sftp.Client
	conn net.Conn
	dir  string
}

func (p *sftpPlace) list() ([]Entry, error) {
	infos, err := p.ReadDir(p.dir)
	var list []Entry
	for _, i := range infos {
		if i.Mode().IsRegular() {
			list = append(list, Entry{i.Name(), i.Size()})
		}
	}
	return list, err
}

func (p *sftpPlace) remove(name string) error { return p.Remove(path.Join(p.dir, name)) }

func (p *sftpPlace) put(tmp, name string, r io.Reader) error {
	tmp, name = path.Join(p.dir, tmp), path.Join(p.dir, name)
	f, err := p.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY)
	if err != nil {
		return err
	}
	_ = f.Chmod(0o600) // it holds secrets; not every server allows it
	buf := make([]byte, 128<<10)
	for err == nil {
		var n int
		if n, err = io.ReadFull(r, buf); n > 0 {
			_ = p.conn.SetDeadline(time.Now().Add(stallLimit))
			if _, werr := f.Write(buf[:n]); werr != nil {
				err = werr
			}
		}
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	_ = p.conn.SetDeadline(time.Now().Add(stallLimit))
	if _, can := p.HasExtension("fsync@openssh.com"); can && err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = p.rename(tmp, name)
	}
	if err != nil {
		_ = p.conn.SetDeadline(time.Now().Add(stallLimit))
		vfs, serr := p.StatVFS(p.dir) // before the half goes
		_ = p.Remove(tmp)
		if serr == nil && noSpace(vfs.Frsize*vfs.Bavail) {
			err = fmt.Errorf("%w: %w", unix.ENOSPC, err)
		}
	}
	return err
}

// noSpace reports whether a file system has so little left, in bytes, that a write failed for that:
// the protocol has no word for it.
func noSpace(free uint64) bool { return free < 1<<20 }

// rename replaces atomically where the server can.
func (p *sftpPlace) rename(from, to string) error {
	if err := p.PosixRename(from, to); err == nil {
		return nil
	}
	return p.Rename(from, to)
}

// algorithms restricts the server to the kind of key that is pinned, so that it does not show
// another one of its own.
func algorithms(key ssh.PublicKey) []string {
	switch {
	case key == nil:
		return nil
	case key.Type() == ssh.KeyAlgoRSA:
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	return []string{key.Type()}
}

// pinned returns the key that the server has to show: the configured one, else the one that it
// showed first; nil before.
func (j *Job) pinned(address string) (ssh.PublicKey, error) {
	if given := j.Config.Backup.HostKey; given != "" {
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(given))
		return key, fault.Wrap(err, fault.Input, "copy the one line of the server's /etc/ssh/ssh_host_ed25519_key.pub", "backup.host_key")
	}
	text, err := os.ReadFile(j.path(path.Join(Dir, knownName)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for err == nil {
		var hosts []string
		var key ssh.PublicKey
		if _, hosts, key, _, text, err = ssh.ParseKnownHosts(text); err == nil && len(hosts) == 1 && hosts[0] == knownhosts.Normalize(address) {
			return key, nil
		}
	}
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	return nil, fault.Wrap(err, fault.Input, "run `sudo shelf backup forget`", "the known hosts of backups")
}

func (j *Job) pin(address string, key ssh.PublicKey) error {
	file := j.path(path.Join(Dir, knownName))
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	text = append(text, knownhosts.Line([]string{address}, key)+"\n"...)
	return atomicfile.Write(file, text, 0o600)
}

// Forget forgets the host keys of backup servers: the next contact is a first one.
func (j *Job) Forget() error {
	err := os.Remove(j.path(path.Join(Dir, knownName)))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no host key to forget")
	}
	return err
}
