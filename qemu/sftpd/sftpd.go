// Package sftpd is an sftp server for tests: one user's directory, one key that may log in, on the host's loopback.
package sftpd

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"strings"
	"sync"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// Server is one.
type Server struct {
	Address string // host:port
	Host    string // its host key, as a line of authorized_keys
	l       net.Listener
	dir     string
	config  *ssh.ServerConfig
	mu      sync.Mutex
	allowed []byte // marshalled key
	drop    int    // connections to cut off
	Seen    int    // connections that were let in
}

// Start serves dir, which relative names are relative to; nobody may log in before Allow. host is its key, nil for a new one.
func Start(dir string, host ed25519.PrivateKey) (*Server, error) {
	var err error
	if host == nil {
		if _, host, err = ed25519.GenerateKey(rand.Reader); err != nil {
			return nil, err
		}
	}
	signer, err := ssh.NewSignerFromKey(host)
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, Host: strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))}
	s.config = &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !bytes.Equal(key.Marshal(), s.allowed) {
			return nil, errors.New("not in authorized_keys")
		}
		return nil, nil
	}}
	s.config.AddHostKey(signer)
	if s.l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	s.Address = s.l.Addr().String()
	go func() {
		for {
			c, err := s.l.Accept()
			if err != nil {
				return
			}
			go s.serve(c)
		}
	}()
	return s, nil
}

// Close ends it.
func (s *Server) Close() { s.l.Close() }

// Allow lets the key of a line of authorized_keys in, and no other.
func (s *Server) Allow(line string) error {
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.allowed = key.Marshal()
	return nil
}

// Drop cuts the next n connections off after they have asked for sftp.
func (s *Server) Drop(n int) { s.mu.Lock(); s.drop = n; s.mu.Unlock() }

func (s *Server) serve(c net.Conn) {
	defer c.Close()
	conn, chans, reqs, err := ssh.NewServerConn(c, s.config)
	if err != nil {
		return
	}
	defer conn.Close()
	s.mu.Lock()
	s.Seen++
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
	for r := range in {
		ok := r.Type == "subsystem" && bytes.HasSuffix(r.Payload, []byte("sftp"))
		r.Reply(ok, nil)
		if !ok {
			continue
		}
		s.mu.Lock()
		cut := s.drop > 0
		if cut {
			s.drop--
		}
		s.mu.Unlock()
		if cut {
			c.Close()
			return
		}
		server, err := sftp.NewServer(ch, sftp.WithServerWorkingDirectory(s.dir))
		if err != nil {
			return
		}
		if err := server.Serve(); err != nil && err != io.EOF {
			return
		}
		ch.Close()
	}
}
