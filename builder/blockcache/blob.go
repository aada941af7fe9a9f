package blockcache

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Blob opens the download whose sha256 is sum, after hashing it. A file that does not match is
// removed and absent.
func (c *Cache) Blob(sum [32]byte) (*os.File, bool) {
	return opened(c.path("blob", sum), sha256.New(), -1, sum[:])
}

// Has reports whether a download named sum of size bytes is there, without reading it: it was whole
// when it was stored, and Blob looks again.
func (c *Cache) Has(sum [32]byte, size int64) bool {
	name := c.path("blob", sum)
	info, err := os.Stat(name)
	if err != nil || !info.Mode().IsRegular() || info.Size() != size {
		return false
	}
	used(name)
	return true
}

// PutBlob stores all of r as a download and returns its sha256.
func (c *Cache) PutBlob(r io.Reader) (sum [32]byte, err error) {
	h := sha256.New()
	err = c.store(h, func(w io.Writer) error {
		_, err := io.Copy(w, r)
		return err
	}, func(int64) string {
		h.Sum(sum[:0])
		return c.path("blob", sum)
	})
	return sum, err
}

// store writes what produce gives, under the name that final returns once h has seen all of it.
// Errors of the disk are faults of the kind Device; errors of produce pass as they are.
func (c *Cache) store(h hash.Hash, produce func(io.Writer) error, final func(size int64) string) error {
	f, err := c.temp()
	if err != nil {
		return deviceFault(err, c.dir)
	}
	w := &hashWriter{f: f, h: h}
	if err := produce(w); err != nil {
		discard(f)
		if w.err != nil {
			return deviceFault(w.err, c.dir)
		}
		return err
	}
	if err := c.commit(f, final(w.n)); err != nil {
		return deviceFault(err, c.dir)
	}
	return nil
}

// hashWriter writes and hashes; err keeps an error of the file apart from those of the producer.
type hashWriter struct {
	f   *os.File
	h   hash.Hash
	n   int64
	err error
}

func (w *hashWriter) Write(p []byte) (int, error) {
	n, err := w.f.Write(p)
	w.h.Write(p[:n])
	w.n += int64(n)
	w.err = err
	return n, err
}

// opened opens name if its size (unless that is negative) and its hash are right; else it is
// removed. The offset is 0.
func opened(name string, h hash.Hash, size int64, sum []byte) (*os.File, bool) {
	f, err := os.Open(name)
	if err != nil {
		return nil, false
	}
	n, err := io.CopyBuffer(h, struct{ io.Reader }{f}, make([]byte, 256<<10))
	if err == nil && (size < 0 || n == size) && bytes.Equal(h.Sum(nil), sum) {
		if _, err = f.Seek(0, io.SeekStart); err == nil {
			used(name)
			return f, true
		}
	}
	f.Close()
	if err == nil {
		os.Remove(name) // it was read and is wrong; after a read error it may be the drive that is to blame
	}
	return nil, false
}

// Partial is a download that is not finished. Only one process holds it at a time.
type Partial struct {
	c   *Cache
	f   *os.File
	sum [32]byte
	h   hash.Hash
	n   int64
}

// Partial opens, or begins, the download that shall have the sha256 sum. It waits for another
// process or goroutine that is busy with the same one, until ctx ends; so look for the Blob again
// afterwards. Close it in the end.
func (c *Cache) Partial(ctx context.Context, sum [32]byte) (*Partial, error) {
	name := filepath.Join(c.dir, "partial", hex.EncodeToString(sum[:]))
	for {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return nil, deviceFault(err, c.dir)
		}
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil && sameFile(f, name) {
			p := &Partial{c: c, f: f, sum: sum, h: sha256.New()}
			if p.n, err = io.Copy(p.h, f); err != nil {
				f.Close()
				return nil, deviceFault(err, c.dir)
			}
			return p, nil
		}
		f.Close()
		if err != nil && err != syscall.EWOULDBLOCK && err != syscall.EINTR {
			return nil, deviceFault(err, c.dir)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// sameFile reports whether name still is f: the holder of the lock may have finished and renamed
// it.
func sameFile(f *os.File, name string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Stat(name)
	return err == nil && os.SameFile(a, b)
}

// Size is the number of bytes that are there: where to go on.
func (p *Partial) Size() int64 { return p.n }

// Write appends.
func (p *Partial) Write(b []byte) (int, error) {
	n, err := p.f.Write(b)
	p.h.Write(b[:n])
	p.n += int64(n)
	if err != nil {
		return n, deviceFault(err, p.c.dir)
	}
	return n, nil
}

// Reset throws the bytes away, to begin again.
func (p *Partial) Reset() error {
	err := p.f.Truncate(0)
	if err == nil {
		_, err = p.f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return deviceFault(err, p.c.dir)
	}
	p.h.Reset()
	p.n = 0
	return nil
}

// Done makes the partial file a Blob. With a wrong sum it returns Mismatch; the bytes are then
// still there, for Reset or Remove.
func (p *Partial) Done() error {
	var got [32]byte
	p.h.Sum(got[:0])
	if got != p.sum {
		return &Mismatch{Want: p.sum, Got: got, Size: p.n}
	}
	if err := rename(p.f.Name(), p.c.path("blob", p.sum)); err != nil {
		return deviceFault(err, p.c.dir)
	}
	return nil
}

// Remove deletes the unfinished file.
func (p *Partial) Remove() { os.Remove(p.f.Name()) }

// Close lets go of the file; what was written stays for the next time.
func (p *Partial) Close() error {
	if info, err := p.f.Stat(); err == nil && info.Size() == 0 && sameFile(p.f, p.f.Name()) {
		os.Remove(p.f.Name()) // an empty one is of no use
	}
	return p.f.Close()
}

// Mismatch is the error of bytes that do not have the sha256 they should have.
type Mismatch struct {
	Want, Got [32]byte
	Size      int64
}

func (m *Mismatch) Error() string {
	return fmt.Sprintf("sha256 of %d bytes is %x, it should be %x", m.Size, m.Got, m.Want)
}
