package backup

import (
	"context"
	"io"
)

// vault is where the backups of one node are, once it is open.
type vault struct {
	list func(ctx context.Context, share string) ([]Snap, error)
	put  func(ctx context.Context, share string, s Snap, base *Snap, stream io.Reader) error
	// prune deletes what is not kept any more, and what cut transfers left. there is what list
	// gave, base the stream that both sides had before.
	prune func(ctx context.Context, share string, there []Snap, base string) error
	// pending is the snapshot whose transfer goes on after a cut; empty for none. It may be nil.
	pending func(share string) string
	close   func() error
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
