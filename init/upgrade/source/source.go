// Package source is where the bytes of an upgrade come from.
package source

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"imgbuild/init/contract/bundle"
	"imgbuild/init/contract/dialogue"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/manifest"
	"imgbuild/init/contract/userfile"
)

// Source returns a bundle, and the k3s binary that may be next to it.
type Source interface {
	bundle.Source
	// K3s opens the binary of a system that does not hold one, and returns its size. A source that
	// has none returns an error for which errors.Is(err, fs.ErrNotExist) is true.
	K3s(ctx context.Context, k *manifest.K3s, arch string) (io.ReadCloser, int64, error)
	Close() error
}

// Kinds of sources, as they are in the history.
const (
	FromFile  = "file"
	FromStdin = "stdin"
	FromSSH   = "ssh"
	FromHTTP  = "http"
	FromOCI   = "oci"
	FromUSB   = "usb"
	FromAuto  = "auto"
	FromPlan  = "plan" // a container of the system-upgrade-controller
)

// Expires reports whether a stale bundle is refused from a kind of source: one that no person has
// chosen at that moment.
func Expires(kind string) bool {
	return kind == FromHTTP || kind == FromOCI || kind == FromAuto || kind == FromPlan
}

// K3sName is the name of the k3s binary in a bundle's directory.
func K3sName(k *manifest.K3s, arch string) string { return "k3s-" + k.Version + "-" + arch }

// File is a bundle in a file, with k3s in the same directory.
type File struct {
	f    *os.File
	size int64
}

// OpenFile opens a bundle.
func OpenFile(name string) (*File, error) {
	f, err := userfile.Open("", name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.New(fault.Input, "give the path of a bundle on this node", "%s does not exist here", name)
	}
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fault.New(fault.Input, "give the path of a bundle on this node", "%s is not a file", name)
	}
	if err != nil {
		f.Close()
		return nil, fault.Wrap(err, fault.Device, "", "")
	}
	return &File{f, st.Size()}, nil
}

// Range opens a part of the file.
func (f *File) Range(_ context.Context, off, n int64) (io.ReadCloser, error) {
	if off+n > f.size {
		return nil, fault.Wrap(io.ErrUnexpectedEOF, fault.Input, "copy the bundle again", "%s has %d bytes and should have more", f.f.Name(), f.size)
	}
	return io.NopCloser(io.NewSectionReader(f.f, off, n)), nil
}

// K3s opens the binary in the bundle's directory.
func (f *File) K3s(_ context.Context, k *manifest.K3s, arch string) (io.ReadCloser, int64, error) {
	bin, err := os.Open(filepath.Join(filepath.Dir(f.f.Name()), K3sName(k, arch)))
	if err != nil {
		return nil, 0, err
	}
	st, err := bin.Stat()
	if err != nil {
		bin.Close()
		return nil, 0, err
	}
	return bin, st.Size(), nil
}

// Close closes the file.
func (f *File) Close() error { return f.f.Close() }

// Stream is a bundle that comes once, from beginning to end.
type Stream struct {
	r  io.Reader
	at int64
}

// NewStream reads a bundle from r.
func NewStream(r io.Reader) *Stream { return &Stream{r: r} }

// Range returns the next n bytes from off on; what is before off is skipped.
func (s *Stream) Range(_ context.Context, off, n int64) (io.ReadCloser, error) {
	if off < s.at {
		return nil, fault.New(fault.Input, "give the bundle as a file", "the bundle cannot be read again from standard input, at %d after %d", off, s.at)
	}
	skipped, err := io.CopyN(io.Discard, s.r, off-s.at)
	s.at += skipped
	if err != nil {
		return nil, short(err)
	}
	return io.NopCloser(&rest{s, n}), nil
}

// K3s has none: a stream is one file.
func (s *Stream) K3s(context.Context, *manifest.K3s, string) (io.ReadCloser, int64, error) {
	return nil, 0, fs.ErrNotExist
}

// Close does nothing: the stream belongs to the caller.
func (s *Stream) Close() error { return nil }

// rest is a part of a stream.
type rest struct {
	s    *Stream
	left int64
}

func (r *rest) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n, err := r.s.r.Read(p[:min(int64(len(p)), r.left)])
	r.left, r.s.at = r.left-int64(n), r.s.at+int64(n)
	if err != nil && r.left > 0 {
		return n, short(err)
	}
	return n, nil
}

// short makes the end of a stream that is not finished an error.
func short(err error) error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fault.Wrap(err, fault.Input, "give the whole bundle again; the parts that arrived are kept", "standard input")
}

// SSH is a laptop at the other end of ssh.
type SSH struct{ *dialogue.Node }

// K3s asks the laptop.
func (s SSH) K3s(ctx context.Context, _ *manifest.K3s, _ string) (io.ReadCloser, int64, error) {
	return s.File(ctx, dialogue.K3sFile)
}

// Close does nothing: the laptop learns the result by Done or Error.
func (SSH) Close() error { return nil }
