package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"time"

	"imgbuild/init/base/guard"
	"imgbuild/init/contract/bundle"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/manifest"
	"imgbuild/init/contract/mask"
)

// HTTP is a bundle on a web server that serves files, asked for one closed range at a time.
//
// A server that answers a range with the whole file (Python's, or any behind some proxies) is read
// forward: what is before the range is dropped, and the body stays open for the next range. A
// file that is replaced while it is read ends in an error, whatever the server makes of If-Range. A
// connection that breaks is opened again at the byte where it broke.
//
// It is not safe for concurrent use.
type HTTP struct {
	url     *url.URL
	address string // for messages, without what may be a secret
	o       HTTPOptions
	alone   bool // it is a blob of a registry: nothing is next to it
	seen    version
	body    *whole // of a server that knows no ranges
}

// HTTPOptions are the settings of requests to a server. The zero value is usable.
type HTTPOptions struct {
	Client *http.Client                  // with proxies and certificates; nil: http.DefaultClient
	Idle   time.Duration                 // without a byte, after which a connection counts as broken; default 60 s
	Tries  int                           // connections in a row that bring nothing before it is an error; default 5
	Pause  func(context.Context, int)    // before a further try, which is counted from 1; nil: 1, 2, 4 ... s
	Header func(*http.Request) error     // adds to each request; may be nil
	Say    func(format string, a ...any) // what goes on, such as a connection that broke; may be nil
}

// NewHTTP takes a URL with the scheme http or https. It does not ask the server anything yet.
func NewHTTP(address string, o HTTPOptions) (*HTTP, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fault.New(fault.Usage, "write it as https://HOST/NAME"+bundle.Suffix, "this is not the address of a bundle: %s", mask.URL(address))
	}
	if o.Client == nil {
		o.Client = http.DefaultClient
	}
	if o.Idle == 0 {
		o.Idle = time.Minute
	}
	if o.Tries == 0 {
		o.Tries = 5
	}
	if o.Pause == nil {
		o.Pause = pause
	}
	if o.Say == nil {
		o.Say = func(string, ...any) {}
	}
	return &HTTP{url: u, address: mask.URL(address), o: o}, nil
}

// maxWhole is the longest file that is read forward from a server without ranges: a slot and its
// deltas.
const maxWhole = 2 * bundle.MaxSlot

// Range implements bundle.Source.
func (h *HTTP) Range(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	r := &ranged{h: h, ctx: ctx, at: off, end: off + n}
	if n <= 0 {
		return r, nil
	}
	if err := r.open(); err != nil {
		return nil, err
	}
	return r, nil
}

// K3s opens the binary in the bundle's directory.
func (h *HTTP) K3s(ctx context.Context, k *manifest.K3s, arch string) (io.ReadCloser, int64, error) {
	if h.alone {
		return nil, 0, fs.ErrNotExist
	}
	next := *h.url
	next.Path, next.RawPath, next.RawQuery = path.Join(path.Dir(h.url.Path), K3sName(k, arch)), "", ""
	bin := &HTTP{url: &next, address: mask.URL(next.String()), o: h.o}
	first, err := bin.Range(ctx, 0, 1) // for its size
	if err != nil {
		return nil, 0, err
	}
	first.Close()
	size := bin.seen.total
	if size < 0 {
		bin.Close()
		return nil, 0, fault.New(fault.Network, "serve the file with another web server", "%s has no size", bin.address)
	}
	r, err := bin.Range(ctx, 0, size)
	if err != nil {
		bin.Close()
		return nil, 0, err
	}
	return &single{r, bin}, size, nil
}

// ReadFile reads a whole file of at most so many bytes from a web server.
func ReadFile(ctx context.Context, address string, most int64, o HTTPOptions) ([]byte, error) {
	h, err := NewHTTP(address, o)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	first, err := h.Range(ctx, 0, 1) // for its size
	if err != nil {
		return nil, err
	}
	first.Close()
	if h.seen.total < 0 || h.seen.total > most {
		return nil, fault.New(fault.Network, "look at what the server serves", "%s has %d bytes, more than %d or nobody knows how many", h.address, h.seen.total, most)
	}
	return bundle.Read(ctx, h, 0, h.seen.total)
}

// single is a range whose connection nobody needs after it.
type single struct {
	io.ReadCloser
	h *HTTP
}

func (s *single) Close() error { return errors.Join(s.ReadCloser.Close(), s.h.Close()) }

// Close ends a connection that is still open.
func (h *HTTP) Close() error {
	if h.body != nil {
		h.body.Close()
		h.body = nil
	}
	return nil
}

// get asks for the bytes from at to end.
func (h *HTTP) get(ctx context.Context, at, end int64) (io.ReadCloser, error) {
	if h.body != nil {
		if h.body.at <= at {
			return h.body, h.body.skip(at)
		}
		h.Close() // backward: from the start once more
	}
	resp, body, err := h.send(ctx, at, end)
	if err != nil {
		return nil, err
	}
	if err := h.judge(resp, at, end); err != nil {
		body.Close()
		return nil, err
	}
	if resp.StatusCode == http.StatusPartialContent {
		return body, nil
	}
	h.body = &whole{ReadCloser: body}
	return h.body, h.body.skip(at)
}

// send sends one request. The body ends with an error when nothing comes for a while.
func (h *HTTP) send(ctx context.Context, at, end int64) (*http.Response, io.ReadCloser, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	watch := time.AfterFunc(h.o.Idle, func() {
		defer guard.Catch()
		cancel(fmt.Errorf("nothing came for %v", h.o.Idle))
	})
	fail := func(err error) (*http.Response, io.ReadCloser, error) {
		watch.Stop()
		err = because(ctx, err)
		cancel(nil)
		return nil, nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.url.String(), nil)
	if err != nil {
		return fail(fault.Wrap(err, fault.Usage, "correct the address", "%s", h.address))
	}
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", at, end-1))
	req.Header.Set("Accept-Encoding", "identity")
	if tag := h.seen.strong(); tag != "" {
		req.Header.Set("If-Range", tag)
	}
	if h.o.Header != nil {
		if err := h.o.Header(req); err != nil {
			return fail(err)
		}
	}
	resp, err := h.o.Client.Do(req)
	watch.Stop()
	if err != nil {
		return fail(errAgain{bare(err)})
	}
	return resp, &watched{resp.Body, ctx, cancel, watch, h.o.Idle}, nil
}

// judge reports whether an answer holds what was asked for.
func (h *HTTP) judge(resp *http.Response, at, end int64) error {
	now := versionOf(resp)
	bad := func(kind fault.Kind, fix, what string, a ...any) error {
		return fault.New(kind, fix, "%s: %s", h.address, fmt.Sprintf(what, a...))
	}
	switch resp.StatusCode {
	case http.StatusPartialContent:
		first, last, total, err := contentRange(resp.Header.Get("Content-Range"))
		if err != nil || first != at || last >= end {
			return bad(fault.Network, "serve the file with another web server", "the server was asked for bytes %d to %d and returns %q", at, end-1, resp.Header.Get("Content-Range"))
		}
		now.total = total
	case http.StatusOK:
		if resp.ContentLength > maxWhole {
			return bad(fault.Network, "serve the file with a web server that knows ranges", "the server returns the whole file of %d bytes instead of a part", resp.ContentLength)
		}
		now.total = resp.ContentLength
	case http.StatusRequestedRangeNotSatisfiable:
		_, _, total, err := contentRange(resp.Header.Get("Content-Range"))
		if err == nil && total >= 0 && h.seen.total >= 0 && h.seen.known && total != h.seen.total {
			return h.changed()
		}
		return bad(fault.Verify, "put the whole file there", "the file ends before byte %d", at)
	default:
		if resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusRequestTimeout {
			return errAgain{fmt.Errorf("the server answers %s", resp.Status)}
		}
		err := bad(fault.Network, "check the address", "the server answers %s", resp.Status)
		if resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusGone {
			err = absent{err}
		}
		return err
	}
	if enc := resp.Header.Get("Content-Encoding"); enc != "" && enc != "identity" {
		return bad(fault.Network, "switch compression off for "+bundle.Suffix+" files", "the server compresses the file (%s)", enc)
	}
	if h.seen.known && !h.seen.same(now) {
		return h.changed()
	}
	h.seen.take(now)
	return nil
}

func (h *HTTP) changed() error {
	return fault.New(fault.Network, "run it again", "%s was replaced by another file while it was fetched", h.address)
}

// absent is the error of a file that is not there.
type absent struct{ error }

func (a absent) Unwrap() error { return a.error }

// Is makes it fs.ErrNotExist.
func (absent) Is(target error) bool { return target == fs.ErrNotExist }

// bare is an error of the library without the address in front, which may hold a password.
func bare(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// because prefers the reason for which a transfer was ended to the words of the library.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return errAgain{cause}
	}
	return err
}
