package vm

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"net"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// NewKey makes a key to log in with, and its line for authorized_keys.
func NewKey() (key ssh.Signer, line string, err error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, "", err
	}
	if key, err = ssh.NewSignerFromSigner(private); err != nil {
		return nil, "", err
	}
	return key, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key.PublicKey()))), nil
}

// Shell is an ssh connection to a guest.
type Shell struct {
	client  *ssh.Client
	HostKey ssh.PublicKey // what the guest showed
}

// SSH logs in. It tries until ctx ends, because sshd may come up a moment after the console shows
// it.
func (v *VM) SSH(ctx context.Context, user string, key ssh.Signer) (*Shell, error) {
	s := &Shell{}
	config := &ssh.ClientConfig{
		User: user,
		Auth: []ssh.AuthMethod{ssh.PublicKeys(key)},
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			s.HostKey = key
			return nil
		},
		HostKeyAlgorithms: []string{ssh.KeyAlgoED25519},
		Timeout:           30 * time.Second,
	}
	for {
		client, err := ssh.Dial("tcp", v.Forward[22], config)
		if err == nil {
			s.client = client
			return s, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("ssh to %s: %w (%w); the console's last lines:\n%s", v.Name, err, ctx.Err(), lastLines(v.Output(), 40))
		case <-v.done:
			return nil, fmt.Errorf("ssh to %s: QEMU ended; the console's last lines:\n%s", v.Name, lastLines(v.Output(), 40))
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// Run runs a command and returns its standard output. The error of a command that fails holds its
// status and standard error.
func (s *Shell) Run(ctx context.Context, command string) (string, error) {
	return s.RunInput(ctx, command, nil)
}

// RunInput is Run with data on standard input.
func (s *Shell) RunInput(ctx context.Context, command string, input []byte) (string, error) {
	session, err := s.client.NewSession()
	if err != nil {
		return "", fmt.Errorf("ssh: %w", err)
	}
	defer session.Close()
	var out, errs bytes.Buffer
	session.Stdin, session.Stdout, session.Stderr = bytes.NewReader(input), &out, &errs
	if err := session.Start(command); err != nil {
		return "", fmt.Errorf("ssh: %s: %w", command, err)
	}
	done := make(chan error, 1)
	go func() { done <- session.Wait() }()
	select {
	case err = <-done:
	case <-ctx.Done():
		s.client.Close()
		err = fmt.Errorf("%w (%v)", ctx.Err(), <-done)
	}
	if err != nil {
		return out.String(), fmt.Errorf("%s: %w\n%s%s", command, err, out.Bytes(), errs.Bytes())
	}
	return out.String(), nil
}

// Close ends the connection.
func (s *Shell) Close() error { return s.client.Close() }
