package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"imgbuild/init/contract/fault"
)

func pause(ctx context.Context, n int) {
	select {
	case <-ctx.Done():
	case <-time.After(min(time.Second<<(n-1), 30*time.Second)):
	}
}

// ranged reads one range, over as many connections as it takes.
type ranged struct {
	h       *HTTP
	ctx     context.Context
	at, end int64
	body    io.ReadCloser
	failed  int // connections in a row that brought nothing
	err     error
}

// errAgain marks what may go better at the next try.
type errAgain struct{ error }

func (e errAgain) Unwrap() error { return e.error }

// open connects, until a server answers.
func (r *ranged) open() error {
	for {
		body, err := r.h.get(r.ctx, r.at, r.end)
		if err == nil {
			r.body = body
			return nil
		}
		if err := r.again(err); err != nil {
			return err
		}
	}
}

// again waits for the next try, or returns the error that ends them.
func (r *ranged) again(err error) error {
	if r.ctx.Err() != nil {
		return r.ctx.Err()
	}
	var may errAgain
	if !errors.As(err, &may) {
		return err
	}
	r.failed++
	if r.failed >= r.h.o.Tries {
		return fault.Wrap(may.error, fault.Network, "check the address and the network, and run it again; the parts that arrived are kept", "fetching %s", r.h.address)
	}
	r.h.o.Say("%v; trying again at byte %d", may.error, r.at)
	r.h.o.Pause(r.ctx, r.failed)
	return r.ctx.Err()
}

// Read returns bytes of the range. For a file that ends before it the error is io.ErrUnexpectedEOF.
func (r *ranged) Read(p []byte) (int, error) {
	if r.err != nil || r.at == r.end {
		return 0, cmpErr(r.err, io.EOF)
	}
	if len(p) == 0 {
		return 0, nil
	}
	if int64(len(p)) > r.end-r.at {
		p = p[:r.end-r.at]
	}
	for {
		n, err := r.body.Read(p)
		if n > 0 {
			r.at += int64(n)
			r.failed = 0
			return n, nil
		}
		if err == nil {
			continue
		}
		r.body.Close()
		r.h.body = nil
		if total := r.h.seen.total; errors.Is(err, io.EOF) && total >= 0 && r.at >= total {
			r.err = io.ErrUnexpectedEOF
			return 0, r.err
		}
		if err = r.again(errAgain{fmt.Errorf("the connection broke: %w", err)}); err == nil {
			err = r.open()
		}
		if err != nil {
			r.err = err
			return 0, err
		}
	}
}

func cmpErr(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

// Close ends the range. A body that holds the whole file stays open for the next one.
func (r *ranged) Close() error {
	if r.body == nil || r.h.body != nil && r.body == io.ReadCloser(r.h.body) {
		return nil
	}
	return r.body.Close()
}
