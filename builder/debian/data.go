package debian

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"imgbuild/init/contract/fault"
)

// Data opens the files of a fetched package as a plain tar, decoded once and kept in the cache.
// Close it. It is safe for use by many goroutines; decoding runs in the caller's, so call it from
// as many as there are cores.
func (c *Client) Data(ctx context.Context, l Locked) (*os.File, error) {
	return c.decoded(ctx, l, "deb-data 1 "+l.SHA256, func(w io.Writer, r io.Reader) error {
		_, err := io.CopyBuffer(w, struct{ io.Reader }{r}, make([]byte, 256<<10))
		return err
	})
}

// DataFiltered is Data with only the members for which keep returns true; it is called with paths
// like "usr/bin/x", for directories as well. key names the filter: a change of what keep selects
// must change key.
func (c *Client) DataFiltered(ctx context.Context, l Locked, key string, keep func(path string) bool) (*os.File, error) {
	return c.decoded(ctx, l, "deb-data-filtered 1 "+l.SHA256+" "+key, func(w io.Writer, r io.Reader) error {
		in, out := tar.NewReader(r), tar.NewWriter(w)
		for {
			h, err := in.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				return err
			}
			if !keep(cleanName(h.Name)) {
				continue
			}
			h.Format = tar.FormatUnknown
			if err := out.WriteHeader(h); err != nil {
				return err
			}
			if _, err := io.Copy(out, in); err != nil {
				return err
			}
		}
		// The rest of the stream holds the check of its last block.
		if _, err := io.Copy(io.Discard, r); err != nil {
			return err
		}
		return out.Close()
	})
}

func (c *Client) decoded(ctx context.Context, l Locked, key string, copy func(io.Writer, io.Reader) error) (*os.File, error) {
	f, err := c.Cache.Decoded(key, func(w io.Writer) error {
		deb, err := c.openBlob(ctx, l)
		if err != nil {
			return err
		}
		defer deb.Close()
		d, err := OpenDeb(&counter{c: c, r: deb, name: "decode " + l.Name, total: l.Size})
		if err != nil {
			return err
		}
		plain, release, err := d.Data()
		if err != nil {
			return err
		}
		defer release()
		return copy(w, plain)
	})
	var e *fault.Error
	if err != nil && !errors.As(err, &e) {
		err = fault.Wrap(err, fault.Input, "report it: the file is the one that the lock names",
			"package %s %s cannot be read", l.Name, l.Version)
	}
	return f, err
}

// openBlob opens the .deb in the cache. One that is damaged there is fetched once more: Fetch looks
// at names and sizes alone.
func (c *Client) openBlob(ctx context.Context, l Locked) (*os.File, error) {
	sum, err := parseSum(l.SHA256)
	if err != nil {
		return nil, fault.Wrap(err, fault.Input, "", "package %s", l.Name)
	}
	f, ok := c.Cache.Blob(sum)
	if !ok {
		if err := c.Fetch(ctx, []Locked{l}); err != nil {
			return nil, fmt.Errorf("package %s is not in the cache, or damaged there: %w", l.Name, err)
		}
		if f, ok = c.Cache.Blob(sum); !ok {
			return nil, fault.New(fault.Device, "check the drive of the cache, or name another place with cache=DIR",
				"package %s was fetched, and is damaged in the cache", l.Name)
		}
	}
	return f, nil
}

// Scripts returns the control fields and maintainer scripts of a fetched package.
func (c *Client) Scripts(ctx context.Context, l Locked) (*Deb, error) {
	f, err := c.openBlob(ctx, l)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	d, err := OpenDeb(f)
	if err != nil {
		return nil, fault.Wrap(err, fault.Input, "", "package %s %s cannot be read", l.Name, l.Version)
	}
	return d, nil
}

// counter reports how much of a package was read, about every megabyte.
type counter struct {
	c           *Client
	r           io.Reader
	name        string
	done, total int64
	reported    int64
}

func (k *counter) Read(p []byte) (int, error) {
	n, err := k.r.Read(p)
	k.done += int64(n)
	if k.done-k.reported >= 1<<20 || k.done == k.total && k.reported != k.done {
		k.reported = k.done
		k.c.progress(k.name, k.done, k.total)
	}
	return n, err
}
