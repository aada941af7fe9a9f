package backup

import (
	"context"
	"io"
)

// vault is where the backups of one node are, once it is open.
type vault struct {
	list  func(ctx context.Context, share string) ([]Snap, error)
	put   func(ctx context.Context, share string, s Snap, base *Snap, stream io.Reader) error
	drop  func(ctx context.Context, share string, names []string) error // nil: the place decides itself
	close func() error
}

// counter counts what is written through it.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
