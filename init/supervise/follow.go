package supervise

import (
	"bytes"
	"context"

	"imgbuild/init/base/guard"
)

// TailFollow returns what memory holds of the newest lines and every line that comes after them,
// none twice and none left out, until ctx ends; then the channel is closed. A reader that cannot
// keep up misses lines.
func (l *Log) TailFollow(ctx context.Context) (tail []byte, lines <-chan []byte) {
	c := make(chan []byte, 256)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.readers[c] = struct{}{}
	context.AfterFunc(ctx, func() {
		defer guard.Catch()
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.readers, c)
		close(c)
	})
	return bytes.Clone(wholeLines(l.ring, l.lim.Ring)), c
}
