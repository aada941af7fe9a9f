package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/ssh"

	"imgbuild/init/contract/fault"
)

// Output runs a command, with input on its standard input (nil for none), and returns what it
// prints on standard output. A status other than 0 is a fault of the kind that shelf's exit codes
// name, Internal for other numbers, with the command's standard error as its text.
func (n *Node) Output(ctx context.Context, command string, input io.Reader) ([]byte, error) {
	var out, errs bytes.Buffer
	code, err := n.Run(ctx, command, input, &out, &errs)
	if err != nil {
		return nil, err // out may still be written to
	}
	if code != 0 {
		return out.Bytes(), n.failed(code, command, errs.String())
	}
	return out.Bytes(), nil
}

// failed makes an error of a command's exit status and standard error.
func (n *Node) failed(code int, command, text string) error {
	what, fix := fault.FromReport(text)
	if what == "" {
		what = fmt.Sprintf("%s ended with status %d", command, code)
	}
	kind := fault.Kind(code)
	if kind < fault.Internal || kind > fault.Unhealthy {
		kind = fault.Internal
	}
	return fault.New(kind, fix, "%s: %s", n.Host, what)
}

// Run runs a command with these streams (nil for none) and returns its exit status; -1 is a command
// that a signal ended. err, of kind Network, means that the connection broke before the status
// came. When ctx ends, the command is hung up.
func (n *Node) Run(ctx context.Context, command string, stdin io.Reader, stdout, stderr io.Writer) (code int, err error) {
	s, err := n.client.NewSession()
	if err != nil {
		return 0, n.broken(err)
	}
	defer s.Close()
	// A pipe of our own: Session.Wait would wait for a Stdin that never ends, such as a terminal.
	if stdin != nil {
		in, err := s.StdinPipe()
		if err != nil {
			return 0, n.broken(err)
		}
		go func() {
			_, _ = io.Copy(in, stdin) // a command that ends before its input does need not read it
			in.Close()
		}()
	}
	s.Stdout, s.Stderr = stdout, stderr
	if err := s.Start(command); err != nil {
		return 0, n.broken(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Wait() }()
	select {
	case err = <-done:
	case <-ctx.Done():
		_ = s.Signal(ssh.SIGTERM)
		s.Close()
		return 0, ctx.Err()
	}
	var status *ssh.ExitError
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &status) && status.Signal() != "":
		return -1, nil
	case errors.As(err, &status):
		return status.ExitStatus(), nil
	}
	return 0, n.broken(err)
}

func (n *Node) broken(err error) error {
	return fault.Wrap(err, fault.Network, "log in again", "the connection to %s broke", n.Host)
}
