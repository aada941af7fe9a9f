// Package sshd is an ssh server for tests: one key that may log in, on the host's loopback. What it answers is the test's.
package sshd

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
)

// Answer serves a request: what is a command or the name of a subsystem. A status below 0 cuts the connection off.
type Answer func(ch ssh.Channel, what string) (status int)

// Server is one.
type Server struct {
	Address string        // host:port where it listens, or last did
	HostKey ssh.PublicKey // what it shows
	Host    string        // the same as a line of authorized_keys
	t       testing.TB
	kind    string
	answer  Answer
	mu      sync.Mutex
	l       net.Listener
	host    ssh.Signer
	allowed []byte     // marshalled key
	conns   []net.Conn // those that were let in
}

// Start makes one that answers requests of a kind, "exec" or "subsystem", until the test ends; nobody may log in before Allow.
func Start(t testing.TB, kind string, answer Answer) *Server {
	t.Helper()
	s := &Server{t: t, kind: kind, answer: answer}
	s.NewHost()
	s.Listen("127.0.0.1:0")
	t.Cleanup(func() { s.Close(); s.Cut() })
	return s
}

// NewHost gives it another host key.
func (s *Server) NewHost() {
	_, host := newKey(s.t)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.host, s.HostKey, s.Host = host, host.PublicKey(), line(host)
}

// Listen makes it reachable at an address, and no longer where it was. Connections stay.
func (s *Server) Listen(address string) {
	s.Close()
	l, err := net.Listen("tcp", address)
	if err != nil {
		s.t.Error(err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.l, s.Address = l, l.Addr().String()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(c)
		}
	}()
}

// Close makes it unreachable. Connections stay.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.l != nil {
		s.l.Close()
	}
}

// Cut ends the connections.
func (s *Server) Cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		c.Close()
	}
}

// Seen counts the connections that were let in, those that ended too.
func (s *Server) Seen() int { s.mu.Lock(); defer s.mu.Unlock(); return len(s.conns) }

// Allow lets the key of a line of authorized_keys in, and no other.
func (s *Server) Allow(line string) {
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		s.t.Errorf("%q: %v", line, err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.allowed = key.Marshal()
}

func (s *Server) serve(c net.Conn) {
	defer c.Close()
	s.mu.Lock()
	allowed := s.allowed
	config := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if !bytes.Equal(key.Marshal(), allowed) {
			return nil, errors.New("not in authorized_keys")
		}
		return nil, nil
	}}
	config.AddHostKey(s.host)
	s.mu.Unlock()
	_, chans, reqs, err := ssh.NewServerConn(c, config)
	if err != nil {
		return
	}
	s.mu.Lock()
	s.conns = append(s.conns, c)
	s.mu.Unlock()
	go ssh.DiscardRequests(reqs)
	for nc := range chans {
		if nc.ChannelType() != "session" {
			nc.Reject(ssh.UnknownChannelType, "sessions only")
			continue
		}
		ch, in, err := nc.Accept()
		if err != nil {
			return
		}
		go s.session(c, ch, in)
	}
}

func (s *Server) session(c net.Conn, ch ssh.Channel, in <-chan *ssh.Request) {
	defer ch.Close()
	for r := range in {
		var what struct{ Text string }
		ok := r.Type == s.kind && ssh.Unmarshal(r.Payload, &what) == nil
		r.Reply(ok, nil)
		if !ok {
			continue
		}
		status := s.answer(ch, what.Text)
		if status < 0 {
			c.Close()
			return
		}
		ch.SendRequest("exit-status", false, ssh.Marshal(struct{ N uint32 }{uint32(status)}))
		return
	}
}

// Home makes the test's own home directory: no agent, and a private key in ~/.ssh, with a passphrase if there is one.
// authorized is the key's line for authorized_keys.
func Home(t testing.TB, passphrase string) (dir, authorized string) {
	t.Helper()
	dir = t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("SSH_AUTH_SOCK", "")
	private, signer := newKey(t)
	block, err := ssh.MarshalPrivateKey(private, "")
	if passphrase != "" {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte(passphrase))
	}
	if err == nil {
		err = os.Mkdir(filepath.Join(dir, ".ssh"), 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, ".ssh/id_ed25519"), pem.EncodeToMemory(block), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir, line(signer)
}

func newKey(t testing.TB) (ed25519.PrivateKey, ssh.Signer) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	return private, s
}

func line(s ssh.Signer) string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(s.PublicKey())))
}
