package dialogue

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"imgbuild/init/contract/fault"
)

// Laptop answers what a node asks. Nil functions refuse; errors reach the node with their kind.
type Laptop struct {
	Hello   func(h Hello) error // before anything is asked: choose the bundle. An error ends the dialogue
	Range   func(ctx context.Context, off, size int64) (io.ReadCloser, error)
	File    func(ctx context.Context, name string) (io.ReadCloser, int64, error)
	Ask     func(step string) error
	Receive func(m Message) // progress and notes
}

// Serve answers a node until it is done. in is the node's output, out its input. The error is that
// of the node with its kind, or of the connection (fault.Network). A source that fails in the
// middle of an answer ends the dialogue: the caller closes the connection, and the node keeps what
// it has.
func (l Laptop) Serve(ctx context.Context, in io.Reader, out io.Writer) (*Done, error) {
	r := bufio.NewReaderSize(in, 64<<10)
	for greeted := false; ; {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		var m Message
		if err := readLine(r, &m); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, fault.Wrap(err, fault.Network, "look at the node, and run it again", "the connection to the node")
		}
		switch {
		case m.Error != nil:
			return nil, m.Error.Err()
		case m.Done != nil:
			return m.Done, nil
		case m.Hello != nil:
			if m.Hello.Protocol != Version {
				return nil, fault.New(fault.Network, "use the imgbuild of the node's version for this step", "the node has version %d of the protocol, this program %d", m.Hello.Protocol, Version)
			}
			if greeted = true; l.Hello != nil {
				if err := l.Hello(*m.Hello); err != nil {
					return nil, err
				}
			}
		case m.Progress != nil || m.Note != "":
			if l.Receive != nil {
				l.Receive(m)
			}
		case !greeted:
			return nil, fault.New(fault.Network, "", "the node asks before its hello")
		default:
			if err := l.answer(ctx, m, out); err != nil {
				return nil, err
			}
		}
	}
}

// answer answers one question. Errors of the connection, and of a source that has begun to send,
// are returned; others go to the node.
func (l Laptop) answer(ctx context.Context, m Message, out io.Writer) error {
	var body io.ReadCloser
	var size int64
	err := fault.New(fault.Usage, "", "the laptop has no answer to this")
	switch {
	case m.Range != nil && l.Range != nil:
		size = m.Range.Size
		body, err = l.Range(ctx, m.Range.Off, size)
	case m.File != "" && l.File != nil:
		body, size, err = l.File(ctx, m.File)
	case m.Ask != "" && l.Ask != nil:
		err = l.Ask(m.Ask)
	}
	if err != nil {
		return writeLine(out, Answer{Error: ErrorOf(err)})
	}
	if body == nil {
		return writeLine(out, Answer{})
	}
	defer body.Close()
	if err := writeLine(out, Answer{Size: size}); err != nil {
		return fault.Wrap(err, fault.Network, "look at the node, and run it again", "the connection to the node")
	}
	w := &writer{Writer: out}
	n, err := io.Copy(w, io.LimitReader(body, size))
	if w.err != nil {
		return fault.Wrap(w.err, fault.Network, "look at the node, and run it again", "the connection to the node")
	}
	if err == nil && n < size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return fmt.Errorf("sending to the node, after %d of %d bytes: %w", n, size, err)
	}
	return nil
}

// writer remembers its error, to distinguish it from one of the reader.
type writer struct {
	io.Writer
	err error
}

func (w *writer) Write(p []byte) (n int, err error) {
	n, err = w.Writer.Write(p)
	w.err = err
	return n, err
}
