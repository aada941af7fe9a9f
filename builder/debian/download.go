package debian

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"imgbuild/builder/blockcache"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/mask"
)

// tries is how often a download is begun or resumed before it is given up.
const tries = 4

// The causes that a transfer can fail for, besides those of the net package.
var (
	errStalled   = errors.New("silent")
	errSlow      = errors.New("too slow")
	errTruncated = errors.New("broke off")
	errResume    = errors.New("cannot resume")
)

// status is an answer other than the file.
type status struct{ code int }

func (s *status) Error() string { return fmt.Sprintf("%d %s", s.code, http.StatusText(s.code)) }

func notFound(err error) bool {
	var s *status
	return errors.As(err, &s) && (s.code == http.StatusNotFound || s.code == http.StatusGone)
}

// wrongSize is the error of a server that has a file of another size.
type wrongSize struct{ got, want int64 }

func (w *wrongSize) Error() string {
	return fmt.Sprintf("the file has %d bytes, it should have %d", w.got, w.want)
}

// mismatched reports whether what was served is another file than the one asked for.
func mismatched(err error) bool {
	var m *blockcache.Mismatch
	var w *wrongSize
	return errors.As(err, &m) || errors.As(err, &w)
}

func cancelled(err error) bool { return errors.Is(err, context.Canceled) }

// transient reports whether trying again may help. Silence counts only when bytes came before it:
// nobody wants to wait through several silences of a host that is not there.
func transient(err error, moved bool) bool {
	var s *status
	var dns *net.DNSError
	switch {
	case errors.As(err, &s):
		return s.code >= 500 || s.code == http.StatusTooManyRequests || s.code == http.StatusRequestTimeout
	case errors.As(err, &dns):
		return dns.IsTemporary
	case errors.Is(err, errStalled), errors.Is(err, errSlow):
		return moved
	case errors.Is(err, errTruncated), errors.Is(err, errResume),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return true
	}
	return false
}

// retry runs do until it succeeds, fails for good, or has failed too often. A try that moved much
// begins the count again.
func (c *Client) retry(ctx context.Context, do func() (moved bool, err error)) error {
	wait := c.Backoff
	for n := 1; ; n++ {
		moved, err := do()
		if err == nil || ctx.Err() != nil || !transient(err, moved) || n >= tries && !moved {
			if err != nil && ctx.Err() != nil {
				return ctx.Err()
			}
			return err
		}
		if moved && n >= tries {
			n, wait = 1, c.Backoff
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
		wait *= 2
	}
}

// leastSpeed is how many bytes a second a server has to give, over the time in which it may not be
// silent either.
const leastSpeed = 1 << 10

// body is the body of a response under the watch for silence and for dripping.
type body struct {
	io.ReadCloser
	watch  *time.Timer
	stall  time.Duration
	now    func() time.Time
	waited time.Duration // for the server, since the speed was looked at
	got    int64         // bytes in that time
	ctx    context.Context
	cancel context.CancelCauseFunc
}

func (b *body) Read(p []byte) (int, error) {
	if b.waited >= b.stall {
		if b.got < int64(b.stall.Seconds()*leastSpeed) {
			return 0, errSlow
		}
		b.waited, b.got = 0, 0
	}
	began := b.now()
	b.watch.Reset(b.stall)
	n, err := b.ReadCloser.Read(p)
	b.watch.Stop()
	b.waited += b.now().Sub(began)
	b.got += int64(n)
	if err != nil && err != io.EOF && context.Cause(b.ctx) == errStalled {
		err = errStalled
	}
	return n, err
}

func (b *body) Close() error {
	b.watch.Stop()
	err := b.ReadCloser.Close()
	b.cancel(nil)
	return err
}

// pastCaches marks the context of a request that caches on the way shall not answer.
type pastCaches struct{}

// request asks for address from byte from on. The caller closes the body.
func (c *Client) request(ctx context.Context, address string, from int64) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		cancel(nil)
		return nil, fault.Wrap(mask.URLError(err), fault.Input, "correct mirror=URL", "%s", shown(address))
	}
	req.Header.Set("User-Agent", "imgbuild")
	req.Header.Set("Accept-Encoding", "identity")
	if ctx.Value(pastCaches{}) != nil {
		req.Header.Set("Cache-Control", "no-cache")
	}
	if from > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
	}
	watch := time.AfterFunc(c.Stall, func() { cancel(errStalled) })
	resp, err := c.HTTP.Do(req)
	if err != nil {
		watch.Stop()
		if context.Cause(ctx) == errStalled {
			err = errStalled
		}
		cancel(nil)
		return nil, err
	}
	watch.Stop()
	resp.Body = &body{ReadCloser: resp.Body, watch: watch, stall: c.Stall, now: c.Now, ctx: ctx, cancel: cancel}
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusPartialContent {
		resp.Body.Close()
		return nil, &status{resp.StatusCode}
	}
	return resp, nil
}

// get reads a small file, at most limit bytes.
func (c *Client) get(ctx context.Context, address string, limit int64) (data []byte, err error) {
	err = c.retry(ctx, func() (bool, error) {
		resp, err := c.request(ctx, address, 0)
		if err != nil {
			return false, err
		}
		defer resp.Body.Close()
		data, err = readAll(resp.Body, limit, address)
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = fmt.Errorf("%w after %d of %d bytes", errTruncated, len(data), resp.ContentLength)
		}
		return false, err
	})
	return data, c.explain(address, err)
}

// fetch brings the file at address into the cache; a file that is there already is not fetched.
func (c *Client) fetch(ctx context.Context, address string, sum [32]byte, size int64, m *meter) error {
	if c.Cache.Has(sum, size) {
		m.add(size)
		return nil
	}
	p, err := c.Cache.Partial(ctx, sum)
	if err != nil {
		return err
	}
	defer p.Close()
	if c.Cache.Has(sum, size) { // another process was faster
		m.add(size)
		return nil
	}
	if p.Size() > size {
		if err := p.Reset(); err != nil {
			return err
		}
	}
	m.add(p.Size())
	err = c.retry(ctx, func() (bool, error) { return c.transfer(ctx, address, p, size, m) })
	if mismatched(err) { // once more: a cache on the way may have spoilt it, or the line
		m.add(-p.Size())
		if err := p.Reset(); err != nil {
			return err
		}
		fresh := context.WithValue(ctx, pastCaches{}, true)
		err = c.retry(fresh, func() (bool, error) { return c.transfer(fresh, address, p, size, m) })
	}
	if mismatched(err) {
		m.add(-p.Size())
		p.Remove()
	}
	return c.explain(address, err)
}

// much is how many bytes make a try worth another one.
const much = 64 << 10

// transfer goes on with p until it is whole. moved reports whether p is longer by much: a server
// that always breaks off at the same byte and cannot resume moves nothing.
func (c *Client) transfer(ctx context.Context, address string, p *blockcache.Partial, size int64, m *meter) (moved bool, err error) {
	start := p.Size()
	had := start
	restart := func() error {
		m.add(-p.Size())
		return p.Reset()
	}
	if start < size {
		resp, err := c.request(ctx, address, start)
		var s *status
		if errors.As(err, &s) && s.code == http.StatusRequestedRangeNotSatisfiable {
			// The server's file is shorter than what we have: begin again, and find out.
			if err := restart(); err != nil {
				return false, err
			}
			return false, errResume
		}
		if err != nil {
			return false, err
		}
		defer resp.Body.Close()
		total := resp.ContentLength
		if resp.StatusCode == http.StatusPartialContent {
			var ok bool
			if total, ok = resumesAt(resp.Header.Get("Content-Range"), start); !ok {
				if err := restart(); err != nil {
					return false, err
				}
				return false, errResume
			}
		} else if start > 0 {
			if err := restart(); err != nil {
				return false, err
			}
			start = 0
		}
		if total >= 0 && total != size {
			return false, &wrongSize{total, size}
		}
		n, err := io.Copy(io.MultiWriter(p, m), &bounded{resp.Body, size - start, "the file"})
		if err != nil || n < size-start {
			var f *fault.Error
			switch {
			case errors.As(err, &f): // the cache
				return false, err
			case errors.Is(err, errStalled), errors.Is(err, errSlow), err != nil && ctx.Err() != nil:
				return p.Size()-had >= much, err
			case n == size-start:
				return false, &wrongSize{size + 1, size}
			}
			return p.Size()-had >= much, fmt.Errorf("%w after %d of %d bytes", errTruncated, p.Size(), size)
		}
	}
	err = p.Done()
	if mismatched(err) && start > 0 {
		// The first part may be an older try's, of another file: once more from the beginning.
		if err := restart(); err != nil {
			return false, err
		}
		return false, errResume
	}
	return true, err
}

// resumesAt reads "bytes START-END/TOTAL"; total is -1 for "*".
func resumesAt(header string, start int64) (total int64, ok bool) {
	rest, ok := strings.CutPrefix(header, "bytes ")
	from, rest, ok2 := strings.Cut(rest, "-")
	_, all, ok3 := strings.Cut(rest, "/")
	n, err := strconv.ParseInt(from, 10, 64)
	if !ok || !ok2 || !ok3 || err != nil || n != start {
		return 0, false
	}
	if all == "*" {
		return -1, true
	}
	total, err = strconv.ParseInt(all, 10, 64)
	return total, err == nil
}

// explain sets the kind and the sentence of an error of a transfer.
func (c *Client) explain(address string, err error) error {
	var f *fault.Error
	if err == nil || cancelled(err) || errors.As(err, &f) {
		return err
	}
	host := ""
	if u, e := url.Parse(address); e == nil {
		host = u.Host
	}
	address, err = shown(address), mask.URLError(err)
	fix := "check the network, or take another archive with mirror=URL"
	var dns *net.DNSError
	var s *status
	switch {
	case mismatched(err):
		return fault.Wrap(err, fault.Verify, "try again later, or take another archive with mirror=URL", "%s is not the file it should be", address)
	case errors.As(err, &s):
		return fault.Wrap(err, fault.Network, fix, "%s", address)
	case errors.As(err, &dns):
		return fault.Wrap(err, fault.Network, fix, "the host %s cannot be resolved", host)
	case errors.Is(err, errStalled):
		return fault.Wrap(err, fault.Network, fix, "%s did not answer for %v", host, c.Stall)
	case errors.Is(err, errSlow):
		return fault.Wrap(err, fault.Network, fix, "%s sends less than %d bytes a second: %s", host, leastSpeed, address)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fault.Wrap(err, fault.Network, fix, "%s refuses connections", host)
	case errors.Is(err, errTruncated):
		return fault.Wrap(err, fault.Network, fix, "%s broke off %s", host, address)
	}
	return fault.Wrap(err, fault.Network, fix, "%s", address)
}

// meter counts the bytes of several downloads together.
type meter struct {
	c     *Client
	name  string
	total int64

	mu   sync.Mutex
	done int64
}

func (c *Client) meter(name string, total int64) *meter {
	return &meter{c: c, name: name, total: total}
}

func (m *meter) add(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done += n
	m.c.progress(m.name, m.done, m.total)
}

// Write counts.
func (m *meter) Write(p []byte) (int, error) {
	m.add(int64(len(p)))
	return len(p), nil
}
