package flash

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strings"

	"github.com/klauspost/compress/zstd"

	"imgbuild/builder/neterr"
	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/mask"
	"imgbuild/init/contract/userfile"
)

// OpenAny opens an image: a .img, a .img.zst, or one of them at an http or https address, for which
// its sha256 is needed. What has to be unpacked or fetched goes into a file without a name in dir.
// progress gets bytes of what is read.
func OpenAny(ctx context.Context, name, sum, dir string, progress func(done, total int64)) (*Source, error) {
	remote := strings.HasPrefix(name, "http://") || strings.HasPrefix(name, "https://")
	switch {
	case remote && sum == "":
		return nil, fault.New(fault.Usage, "give its sum, of SHA256SUMS next to it", "an image from the network needs sha256=")
	case !remote && sum != "":
		return nil, fault.New(fault.Usage, "leave it out", "sha256= is for an image from the network")
	case !remote && !strings.HasSuffix(name, ".zst"):
		return OpenImage(name)
	}
	var in io.ReadCloser
	var total int64
	if remote {
		r, err := fetch(ctx, name)
		if err != nil {
			return nil, err
		}
		in, total = r.Body, r.ContentLength
	} else {
		f, err := userfile.Open("", name)
		if err != nil {
			return nil, err
		}
		if info, err := f.Stat(); err == nil {
			total = info.Size()
		}
		in = f
	}
	defer in.Close()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fault.Wrap(err, fault.Device, "give another directory as out=DIR", "unpacking the image")
	}
	out, err := atomicfile.Create(dir, 0o600)
	if err != nil {
		return nil, fault.Wrap(err, fault.Device, "give another directory as out=DIR", "unpacking the image")
	}
	s, err := unpack(ctx, out, in, name, sum, func(done int64) { progress(done, max(total, done)) })
	if err != nil {
		out.Close()
		return nil, err
	}
	return s, nil
}

func fetch(ctx context.Context, address string) (*http.Response, error) {
	shown := mask.Prose(address)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fault.New(fault.Usage, "give http://HOST/PATH or https://HOST/PATH", "%s is not an address", shown)
	}
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fault.New(fault.Network, "check the address and the network", "fetching %s: %s", shown, neterr.Words(err))
	}
	if r.StatusCode != http.StatusOK {
		r.Body.Close()
		return nil, fault.New(fault.Network, "check the address", "fetching %s: the server answers %s", shown, r.Status)
	}
	return r, nil
}

// counter counts and sums what passes, and ends with ctx.
type counter struct {
	ctx  context.Context
	r    io.Reader
	n    int64
	seen func(int64)
}

func (c *counter) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.r.Read(p)
	c.n += int64(n)
	c.seen(c.n)
	return n, err
}

// unpack writes what in holds, leaving out its zeros, and takes the block map next to a local file.
func unpack(ctx context.Context, out *atomicfile.File, in io.Reader, name, sum string, seen func(int64)) (*Source, error) {
	hash := sha256.New()
	raw := io.TeeReader(&counter{ctx: ctx, r: in, seen: seen}, hash)
	content := io.Reader(raw)
	if strings.HasSuffix(name, ".zst") {
		z, err := zstd.NewReader(raw, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(64<<20))
		if err != nil {
			return nil, err
		}
		defer z.Close()
		content = z
	}
	if err := sparse(out.File, content); err != nil {
		var path *fs.PathError
		switch {
		case ctx.Err() != nil:
			return nil, fault.New(fault.Interrupted, "", "stopped: %w", ctx.Err())
		case errors.As(err, &path):
			return nil, fault.Wrap(err, fault.Device, "free some space, or give another directory as out=DIR", "unpacking %s", name)
		}
		return nil, fault.Wrap(err, fault.Input, "make or copy it again", "%s cannot be unpacked", mask.Prose(name))
	}
	if _, err := io.Copy(io.Discard, raw); err != nil {
		return nil, fault.Wrap(err, fault.Network, "try again", "fetching %s", mask.Prose(name))
	}
	if got := hex.EncodeToString(hash.Sum(nil)); sum != "" && !strings.EqualFold(got, sum) {
		return nil, fault.New(fault.Verify, "do not use it; fetch image and sum again", "%s has the sha256 %s, not %s", mask.Prose(name), got, sum)
	}
	s, err := newSource(out.File, strings.TrimSuffix(name, ".zst"))
	if err == nil {
		s.close = out.Close
	}
	return s, err
}

// sparse copies r to a file and leaves blocks of zeros out.
func sparse(f *os.File, r io.Reader) error {
	buf := make([]byte, 1<<20)
	zero := make([]byte, len(buf))
	for at := int64(0); ; {
		n, err := io.ReadFull(r, buf)
		if p := buf[:n]; n > 0 && string(p) != string(zero[:n]) {
			if _, err := f.WriteAt(p, at); err != nil {
				return err
			}
		}
		at += int64(n)
		switch {
		case err == nil:
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF) && n > 0:
			if errors.Is(err, io.ErrUnexpectedEOF) {
				if m, err := r.Read(buf[:1]); m != 0 || !errors.Is(err, io.EOF) {
					return io.ErrUnexpectedEOF
				}
			}
			return f.Truncate(at)
		default:
			return err
		}
	}
}
