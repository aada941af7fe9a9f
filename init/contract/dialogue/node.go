package dialogue

import (
	"bufio"
	"context"
	"errors"
	"io"
	"sync"

	"imgbuild/init/contract/fault"
)

// Node is the node's end. It is a bundle.Source. One question is asked at a time; Say may be called
// from any goroutine.
type Node struct {
	in  *bufio.Reader
	mu  sync.Mutex // of out
	out io.Writer
	err error // that broke the connection: bytes of an answer may be missing
}

// NewNode makes the node's end of a connection.
func NewNode(in io.Reader, out io.Writer) *Node {
	return &Node{in: bufio.NewReaderSize(in, 64<<10), out: out}
}

// Say sends a message that asks for nothing.
func (n *Node) Say(m Message) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return writeLine(n.out, m)
}

// Range asks for bytes of the bundle.
func (n *Node) Range(ctx context.Context, off, size int64) (io.ReadCloser, error) {
	got, err := n.ask(ctx, Message{Range: &Range{off, size}})
	if err != nil {
		return nil, err
	}
	if got != size {
		n.err = fault.New(fault.Network, "use the same version of imgbuild on the laptop", "the laptop sends %d bytes instead of %d", got, size)
		return nil, n.err
	}
	return &body{n: n, left: got}, nil
}

// File asks for a file by its name and returns its length.
func (n *Node) File(ctx context.Context, name string) (io.ReadCloser, int64, error) {
	size, err := n.ask(ctx, Message{File: name})
	if err != nil {
		return nil, 0, err
	}
	return &body{n: n, left: size}, size, nil
}

// Ask asks whether a step may be done; the error is why not.
func (n *Node) Ask(ctx context.Context, step string) error {
	size, err := n.ask(ctx, Message{Ask: step})
	if err == nil && size != 0 {
		n.err = fault.New(fault.Network, "use the same version of imgbuild on the laptop", "the laptop sends bytes that nobody asked for")
		err = n.err
	}
	return err
}

func (n *Node) ask(ctx context.Context, m Message) (int64, error) {
	if n.err != nil {
		return 0, n.err
	}
	if err := ctx.Err(); err != nil {
		return 0, context.Cause(ctx)
	}
	var a Answer
	err := n.Say(m)
	if err == nil {
		err = readLine(n.in, &a)
	}
	switch {
	case err != nil:
		n.err = lost(err)
		return 0, n.err
	case a.Error != nil:
		return 0, a.Error.Err()
	case a.Size < 0:
		n.err = fault.New(fault.Network, "use the same version of imgbuild on the laptop", "the laptop sends %d bytes", a.Size)
		return 0, n.err
	}
	return a.Size, nil
}

// lost is the error of a connection that ended.
func lost(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fault.Wrap(err, fault.Network, "run it again; the parts that arrived are kept", "the connection to the laptop")
}

// body is the bytes of an answer. Closing it passes over what was not read.
type body struct {
	n    *Node
	left int64
}

func (b *body) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	k, err := b.n.in.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(k)
	if err != nil && b.left > 0 {
		b.n.err = lost(err)
		return k, b.n.err
	}
	return k, nil
}

func (b *body) Close() error {
	_, err := io.Copy(io.Discard, b)
	return err
}
