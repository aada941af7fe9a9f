// Package sftpd is an sftp server for tests: one user's directory, on the ssh server of package sshd.
package sftpd

import (
	"io"
	"sync/atomic"
	"testing"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"imgbuild/qemu/sshd"
)

// Server is one.
type Server struct {
	*sshd.Server
	drop atomic.Int64 // connections to cut off
}

// Start serves dir, which relative names are relative to, until the test ends; nobody may log in before Allow.
func Start(t testing.TB, dir string) *Server {
	t.Helper()
	s := &Server{}
	s.Server = sshd.Start(t, "subsystem", func(ch ssh.Channel, name string) int {
		if name != "sftp" {
			return 1
		}
		if s.drop.Add(-1) >= 0 {
			return -1
		}
		server, err := sftp.NewServer(ch, sftp.WithServerWorkingDirectory(dir))
		if err == nil {
			err = server.Serve()
		}
		if err != nil && err != io.EOF {
			return 1
		}
		return 0
	})
	return s
}

// Drop cuts the next n connections off after they have asked for sftp.
func (s *Server) Drop(n int) { s.drop.Store(int64(n)) }
