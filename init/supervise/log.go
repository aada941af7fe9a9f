package supervise

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"imgbuild/init/base/guard"
)

// LogLimits bound what one log may cost: memory, space and, because the medium is mostly an SD
// card, writing.
type LogLimits struct {
	Ring  int           // bytes of the newest lines kept in memory
	Size  int64         // bytes of NAME.log before it becomes NAME.log.1
	Keep  int           // old files kept
	Every time.Duration // lines reach the file in batches, at most this old
	Batch int           // or at most this many bytes
	Burst int64         // bytes that may be written in one burst; what is beyond is in the ring only
	Rate  int64         // bytes a second by which Burst refills: 2 KiB are 170 MB a day, the most a flood can wear
}

// DefaultLogLimits are what every unit gets.
var DefaultLogLimits = LogLimits{
	Ring: 64 << 10, Size: 1 << 20, Keep: 3, Every: 30 * time.Second, Batch: 64 << 10, Burst: 2 << 20, Rate: 2 << 10,
}

// lineLimit cuts a line that never ends.
const lineLimit = 8 << 10

// Log is the log of one unit: lines with the time in front (RFC 3339, UTC, milliseconds), the
// newest in a ring in memory, all of them, within limits, in DIR/NAME.log. It never fails its
// writer: a disk that is full or gone costs only the file. A disk that hangs holds up who writes,
// and nobody who reads.
type Log struct {
	path string // empty for no file
	lim  LogLimits
	now  func() time.Time
	file sync.Mutex // over the file; taken before mu

	mu      sync.Mutex // over what follows
	scratch []byte
	part    []byte // a line without its end
	ring    []byte // whole lines
	batch   []byte // whole lines on their way to the file
	lost    int64  // lines that did not reach the file since the last that did
	tokens  int64  // bytes that may be written now
	filled  time.Time
	timer   *time.Timer
	readers map[chan []byte]struct{}
}

// NewLog makes a log that writes to dir/name.log; an empty dir keeps it in memory only. Nothing is
// opened before there is something to write, and the file is closed between batches, so that its
// file system can be unmounted.
func NewLog(dir, name string, lim LogLimits) *Log {
	l := &Log{lim: lim, now: time.Now, tokens: lim.Burst, readers: map[chan []byte]struct{}{}}
	l.filled = l.now()
	if dir != "" {
		l.path = filepath.Join(dir, name+".log")
	}
	return l
}

// Write takes output as it comes, cuts it into lines and stamps each with the time at which it
// ended.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for rest := p; len(rest) > 0; {
		line, after, whole := bytes.Cut(rest, []byte{'\n'})
		if space := lineLimit - len(l.part); len(line) > space {
			line, after, whole = rest[:space], rest[space:], true
		}
		l.part = append(l.part, line...)
		rest = after
		if whole {
			l.line()
		}
		if len(l.batch) >= l.lim.Batch {
			l.mu.Unlock()
			l.Flush()
			l.mu.Lock()
		}
	}
	return len(p), nil
}

// Printf writes a line of the init itself into the log.
func (l *Log) Printf(format string, args ...any) {
	l.mu.Lock()
	if len(l.part) > 0 {
		l.line()
	}
	l.mu.Unlock()
	_, _ = io.WriteString(l, "[shelf] "+fmt.Sprintf(format, args...)+"\n")
}

// line ends the line in part.
func (l *Log) line() {
	line := l.now().UTC().AppendFormat(l.scratch[:0], "2006-01-02T15:04:05.000Z ")
	line = append(append(line, bytes.TrimSuffix(l.part, []byte{'\r'})...), '\n')
	l.scratch, l.part = line, l.part[:0]
	for c := range l.readers {
		select {
		case c <- bytes.Clone(line):
		default: // who cannot keep up misses lines; the writer must not wait
		}
	}
	l.ring = append(l.ring, line...)
	if len(l.ring) > 2*l.lim.Ring {
		l.ring = append(l.ring[:0], wholeLines(l.ring, l.lim.Ring)...)
	}
	if l.path == "" {
		return
	}
	l.batch = append(l.batch, line...)
	if l.timer == nil {
		l.timer = time.AfterFunc(l.lim.Every, func() {
			defer guard.Catch()
			l.Flush()
		})
	}
}

// wholeLines is the end of b, at most n bytes, from the start of a line.
func wholeLines(b []byte, n int) []byte {
	if len(b) <= n {
		return b
	}
	b = b[len(b)-n-1:] // the byte before reports whether b begins a line
	return b[bytes.IndexByte(b, '\n')+1:]
}

// Tail is what memory holds of the newest lines, at most n bytes; n <= 0 is all of it.
func (l *Log) Tail(n int) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n <= 0 || n > l.lim.Ring {
		n = l.lim.Ring
	}
	return bytes.Clone(wholeLines(l.ring, n))
}

// Follow returns every line from now on, until ctx ends; then the channel is closed.
func (l *Log) Follow(ctx context.Context) <-chan []byte {
	c := make(chan []byte, 64)
	l.mu.Lock()
	l.readers[c] = struct{}{}
	l.mu.Unlock()
	context.AfterFunc(ctx, func() {
		defer guard.Catch()
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.readers, c)
		close(c)
	})
	return c
}

// Flush writes the batch to the file now: when a unit crashed, before power goes.
func (l *Log) Flush() {
	l.file.Lock()
	defer l.file.Unlock()
	batch, lines := l.take()
	if len(batch) == 0 {
		return
	}
	err := l.append(batch)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.lost += lines
	}
}

// take returns the batch that may be written now and the number of lines that it answers for: its
// own and those left out before it.
func (l *Log) take() ([]byte, int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
	if l.path == "" || len(l.batch) == 0 {
		return nil, 0
	}
	batch, lines := l.batch, int64(bytes.Count(l.batch, []byte{'\n'}))
	l.batch = nil
	now := l.now()
	if d := now.Sub(l.filled); d > 0 {
		// Divided first: a clock that jumps by fifty years must not overflow.
		l.tokens = min(l.lim.Burst, l.tokens+int64(d/time.Second)*l.lim.Rate+int64(d%time.Second)*l.lim.Rate/int64(time.Second))
	}
	l.filled = now
	if int64(len(batch)) > l.tokens {
		l.lost += lines
		return nil, 0
	}
	if l.lost > 0 {
		note := fmt.Sprintf("%s [shelf] %d lines left out here to spare the medium\n", now.UTC().Format("2006-01-02T15:04:05.000Z"), l.lost)
		batch = append([]byte(note), batch...)
		lines += l.lost
	}
	l.lost = 0
	l.tokens -= int64(len(batch))
	return batch, lines
}

// append writes a batch to the file, after rotating it if it would grow too large.
func (l *Log) append(batch []byte) error {
	st, err := os.Stat(l.path)
	if err == nil && st.Size() > 0 && st.Size()+int64(len(batch)) > l.lim.Size {
		for i := l.lim.Keep; i > 1; i-- {
			_ = os.Rename(fmt.Sprintf("%s.%d", l.path, i-1), fmt.Sprintf("%s.%d", l.path, i))
		}
		if l.lim.Keep > 0 {
			err = os.Rename(l.path, l.path+".1")
		} else {
			err = os.Remove(l.path)
		}
		if err != nil {
			return err
		}
	}
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(filepath.Dir(l.path), 0o755); err == nil {
			f, err = os.OpenFile(l.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
		}
	}
	if err != nil {
		return err
	}
	n, err := f.Write(batch)
	if err != nil && n > 0 {
		_ = f.Truncate(size(f) - int64(n)) // no half lines on a full disk
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

func size(f *os.File) int64 {
	st, err := f.Stat()
	if err != nil {
		return 0
	}
	return st.Size()
}

// Close ends an unfinished line and writes everything out. The log remains usable.
func (l *Log) Close() {
	l.mu.Lock()
	if len(l.part) > 0 {
		l.line()
	}
	l.mu.Unlock()
	l.Flush()
}
