package parts

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"

	"imgbuild/init/base/guard"
	"imgbuild/init/contract/fault"

	"filippo.io/age"
)

func sorted(all []List) []List {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b List) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// ErrDiffers is the error for a stream that is not the one whose first parts were written before.
var ErrDiffers = errors.New("the stream differs from the one that was cut")

// Writer writes the parts of a stream.
type Writer struct {
	To   []age.Recipient
	Size int64 // of the stream in a part; 0: Size
	// Put writes a file of a part, whole or not at all.
	Put func(i int, r io.Reader) error
	// Note is called with all parts after each that was written, so that a cut costs one part.
	Note func([]Part) error
}

// Write writes a stream. have are the parts that were written before a cut: what is in them is
// compared and not written again.
func (w Writer) Write(ctx context.Context, stream io.Reader, have []Part) ([]Part, error) {
	size := w.Size
	if size == 0 {
		size = Size
	}
	r := bufio.NewReaderSize(stream, 128<<10)
	done := slices.Clone(have)
	for i := 0; ; i++ {
		if err := ctx.Err(); err != nil {
			return done, err
		}
		if i < len(have) {
			h := sha256.New()
			if _, err := io.Copy(h, io.LimitReader(r, size)); err != nil {
				return done, err
			}
			if text(h) != have[i].Plain {
				return done, ErrDiffers
			}
			continue
		}
		if _, err := r.Peek(1); err == io.EOF && i > 0 {
			return done, nil
		} else if err != nil && err != io.EOF {
			return done, err
		}
		p, err := w.part(i, io.LimitReader(r, size))
		if err != nil {
			return done, err
		}
		if done = append(done, p); w.Note != nil {
			if err := w.Note(done); err != nil {
				return done, err
			}
		}
	}
}

// part encrypts and writes one part.
func (w Writer) part(i int, plain io.Reader) (Part, error) {
	in, out := sha256.New(), sha256.New()
	pr, pw := io.Pipe()
	ended := make(chan error, 1)
	guard.Go(func() {
		err := encrypt(pw, w.To, io.TeeReader(plain, in))
		_ = pw.CloseWithError(err)
		ended <- err
	})
	var count counter
	err := w.Put(i, io.TeeReader(pr, io.MultiWriter(out, &count)))
	_ = pr.CloseWithError(errors.New("the part is given up"))
	if err == nil { // not every end of a stream is its end
		err = <-ended
	}
	if err != nil {
		return Part{}, err
	}
	return Part{int64(count), text(out), text(in)}, nil
}

func encrypt(to io.Writer, recipients []age.Recipient, plain io.Reader) error {
	w, err := age.Encrypt(to, recipients...)
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, plain); err != nil {
		return err
	}
	return w.Close()
}

type counter int64

func (c *counter) Write(p []byte) (int, error) { *c += counter(len(p)); return len(p), nil }

func text(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

// Read writes the stream of a backup to out. get opens the file of a part. Each is compared with
// the list before the next one is read; the stream is good when Read returns no error.
func (l List) Read(ctx context.Context, keys []age.Identity, get func(i int) (io.ReadCloser, error), out io.Writer) error {
	for i, p := range l.Parts {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := p.read(i, keys, get, out); err != nil {
			return fmt.Errorf("part %d of %d of the backup %s: %w", i+1, len(l.Parts), l.Name, err)
		}
	}
	return nil
}

func (p Part) read(i int, keys []age.Identity, get func(i int) (io.ReadCloser, error), out io.Writer) error {
	f, err := get(i)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	file := io.TeeReader(io.LimitReader(f, p.Size+1), h)
	plain, err := age.Decrypt(file, keys...)
	if err != nil {
		var no *age.NoIdentityMatchError
		if errors.As(err, &no) {
			return fault.New(fault.Input, "name the identity whose recipient is in the configuration", "it is encrypted for somebody else")
		}
		return fault.Wrap(err, fault.Verify, "", "it is damaged")
	}
	if _, err := io.Copy(out, plain); err != nil {
		return fault.Wrap(err, fault.Verify, "", "it cannot be read")
	}
	if _, err := io.Copy(io.Discard, file); err != nil {
		return err
	}
	if text(h) != p.Sum {
		return fault.New(fault.Verify, "choose another backup", "it is not the file that the list names")
	}
	return nil
}
