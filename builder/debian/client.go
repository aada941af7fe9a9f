// Package debian is the laptop's side of a Debian archive: the signed index, the closure of
// packages, locks, downloads and the reading of .deb files. It needs nothing of the host, no apt
// and no dpkg, and runs no maintainer script.
//
// A build with a lock goes Fetch, then Data for each package. A lock is made by MakeLock, which
// goes Index, Resolve, Fetch. Trust comes from the keys of the archive that the program carries:
// they sign InRelease, InRelease has the hashes of the indexes, those have the hashes of the
// packages, and a lock keeps the latter.
package debian

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"imgbuild/builder/blockcache"
	"imgbuild/init/contract/fault"
)

// Options of a Client. Cache and Mirrors are needed, the rest has defaults.
type Options struct {
	Cache   *blockcache.Cache
	Mirrors Mirrors
	HTTP    *http.Client // default: proxies of the environment, 15 s to connect
	Keyring Keyring      // default: DebianKeyring
	// Progress is called with how far a step is, in bytes; name is "index", "packages", or "decode
	// NAME" for one package. Calls never overlap. total may be 0 when it is not known.
	Progress func(name string, done, total int64)
	Stall    time.Duration    // a server silent for so long is given up; default 30 s
	Backoff  time.Duration    // the wait before the first retry, doubled for each further one; default 500 ms
	Now      func() time.Time // for the validity of InRelease and the speed of downloads; default time.Now
}

// Client reads archives. It is safe for use by many goroutines.
type Client struct {
	Options
	mu sync.Mutex // guards calls of Progress
}

// parallel is how many downloads run in parallel, from all archives together.
const parallel = 4

// NewClient makes a client.
func NewClient(o Options) *Client {
	if o.HTTP == nil {
		o.HTTP = &http.Client{Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: 15 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
			TLSHandshakeTimeout: 15 * time.Second,
			MaxIdleConnsPerHost: parallel,
			IdleConnTimeout:     30 * time.Second,
			DisableCompression:  true,
		}}
	}
	if o.Keyring == nil {
		o.Keyring = DebianKeyring()
	}
	if o.Stall == 0 {
		o.Stall = 30 * time.Second
	}
	if o.Backoff == 0 {
		o.Backoff = 500 * time.Millisecond
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Client{Options: o}
}

func (c *Client) progress(name string, done, total int64) {
	if c.Progress != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.Progress(name, done, total)
	}
}

// wanted is an index file to be read.
type wanted struct {
	suite  *Suite
	name   string // below dists/SUITE/
	file   indexFile
	byHash bool // by-hash is offered
}

// Index reads the indexes of suites for one architecture: InRelease, whose signature is checked,
// then each component's Packages file by its hash, else by its name. Errors are of the kind Verify
// where something does not match (a suite whose indexes do not fit its InRelease gives
// *Inconsistent, or is left out where it is Optional), Network, or Input for a suite the archive
// does not have.
func (c *Client) Index(ctx context.Context, arch string, suites []Suite) (*Index, error) {
	type read struct {
		release *release
		raw     []byte
		signers []string
	}
	reads := make([]read, len(suites))
	err := each(ctx, parallel, len(suites), func(ctx context.Context, i int) (err error) {
		r := &reads[i]
		r.release, r.raw, r.signers, err = c.release(ctx, suites[i])
		return err
	})
	if err != nil {
		return nil, err
	}
	ix := newIndex(arch)
	var list []wanted
	var total int64
	for i := range suites {
		s, r := suites[i], reads[i]
		ix.Suites = append(ix.Suites, LockedSuite{s.Archive, s.Name, r.release.Date.Format(dateLayout), sumHex(r.raw)})
		ix.Signers = append(ix.Signers, r.signers...)
		for _, component := range s.Components {
			w, err := findIndex(&s, r.release, component, arch)
			if err != nil {
				return nil, err
			}
			list = append(list, w)
			total += w.file.Size
		}
	}
	ix.Signers = sorted(ix.Signers)
	m := c.meter("index", total)
	broken := make([]bool, len(list))
	err = each(ctx, parallel, len(list), func(ctx context.Context, i int) error {
		err := c.fetchIndex(ctx, arch, list[i], m)
		var e *Inconsistent
		if list[i].suite.Optional && errors.As(err, &e) {
			broken[i] = true
			return nil
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	for i, w := range list {
		if name := w.suite.Name; broken[i] && !slices.Contains(ix.Left, name) {
			ix.Left = append(ix.Left, name)
		}
	}
	list = slices.DeleteFunc(list, func(w wanted) bool { return slices.Contains(ix.Left, w.suite.Name) })
	ix.Suites = slices.DeleteFunc(ix.Suites, func(s LockedSuite) bool { return slices.Contains(ix.Left, s.Suite) })
	for _, w := range list {
		if err := c.readIndex(ctx, ix, w, m); err != nil {
			return nil, fault.Wrap(err, fault.Verify, "try another archive with mirror=URL",
				"index %s of %s", w.name, w.suite)
		}
	}
	if err := ix.finish(); err != nil {
		return nil, fault.Wrap(err, fault.Verify, "try another archive with mirror=URL", "")
	}
	return ix, nil
}

// dateLayout is how a lock writes the date of an InRelease.
const dateLayout = "2006-01-02T15:04:05Z"

// release fetches and checks the InRelease of s.
func (c *Client) release(ctx context.Context, s Suite) (*release, []byte, []string, error) {
	bases, err := c.Mirrors.bases(s.Archive)
	if err != nil {
		return nil, nil, nil, err
	}
	var r *release
	var raw []byte
	var signers []string
	err = anyOf(bases, func(base string) (err error) {
		if raw, err = c.get(ctx, base+"/dists/"+s.Name+"/InRelease", 32<<20); err == nil {
			r, signers, err = verifyInRelease(s.Name, raw, c.Keyring, c.Now())
		}
		return err
	})
	if notFound(err) {
		return nil, nil, nil, fault.New(fault.Input, "take the base address of a Debian archive with mirror=URL",
			"%s has no suite %s (404 for dists/%s/InRelease)", shown(bases...), s.Name, s.Name)
	}
	return r, raw, signers, err
}

// findIndex picks the smallest form of a component's index that we can read.
func findIndex(s *Suite, r *release, component, arch string) (wanted, error) {
	if !slices.Contains(r.Architectures, arch) {
		return wanted{}, fault.New(fault.Input, "take another architecture or suite", "%s has no packages for %s (it has %s)",
			s, arch, strings.Join(r.Architectures, " "))
	}
	for _, ext := range []string{".xz", ".gz", ""} {
		name := component + "/binary-" + arch + "/Packages" + ext
		if file, ok := r.Files[name]; ok && file.Size <= maxIndex {
			return wanted{s, name, file, r.ByHash}, nil
		}
	}
	return wanted{}, fault.New(fault.Verify, "check the component's name, or try another archive with mirror=URL",
		"InRelease of %s has no hash of the index of %s for %s", s, component, arch)
}

// Inconsistent is the error of an archive that serves an index that does not fit the InRelease it
// serves.
type Inconsistent struct{ Suite, Arch string }

func (e *Inconsistent) Error() string {
	return fmt.Sprintf("the archive is inconsistent for %s/%s: its index does not match its signed InRelease", e.Suite, e.Arch)
}

// fetchIndex brings an index into the cache.
func (c *Client) fetchIndex(ctx context.Context, arch string, w wanted, m *meter) error {
	bases, err := c.Mirrors.bases(w.suite.Archive)
	if err != nil {
		return err
	}
	err = anyOf(bases, func(base string) error {
		dir := base + "/dists/" + w.suite.Name + "/"
		if w.byHash {
			name := w.name[:strings.LastIndexByte(w.name, '/')] + fmt.Sprintf("/by-hash/SHA256/%x", w.file.Sum)
			err := c.fetch(ctx, dir+name, w.file.Sum, w.file.Size, m)
			if !notFound(err) && !mismatched(err) {
				return err
			}
		}
		return c.fetch(ctx, dir+w.name, w.file.Sum, w.file.Size, m)
	})
	if notFound(err) || mismatched(err) {
		return fault.Wrap(&Inconsistent{w.suite.Name, arch}, fault.Verify, "try again in an hour, take another archive with mirror=URL, or leave this suite out with without=SUITE, if it is not the main one",
			"")
	}
	return err
}

// readIndex adds an index from the cache; one that is damaged there is fetched once more.
func (c *Client) readIndex(ctx context.Context, ix *Index, w wanted, m *meter) error {
	f, ok := c.Cache.Blob(w.file.Sum)
	if !ok {
		if err := c.fetchIndex(ctx, ix.Arch, w, m); err != nil {
			return err
		}
		if f, ok = c.Cache.Blob(w.file.Sum); !ok {
			return fault.New(fault.Device, "check the drive of the cache", "index %s was fetched, and is damaged in the cache", w.name)
		}
	}
	defer f.Close()
	plain, release, err := decompress(w.name, f)
	if err != nil {
		return err
	}
	defer release()
	return ix.add(&bounded{plain, maxIndex * 4, w.name}, w.suite)
}

// each runs do for 0..n-1, at most width in parallel, and returns the first error by index. The
// first error stops the rest.
func each(ctx context.Context, width, n int, do func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, n)
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(width, n) {
		wg.Go(func() {
			for i := range next {
				if errs[i] = do(ctx, i); errs[i] != nil {
					cancel()
				}
			}
		})
	}
	for i := range n {
		if ctx.Err() != nil {
			errs[i] = ctx.Err()
			continue
		}
		next <- i
	}
	close(next)
	wg.Wait()
	return firstError(errs)
}

// firstError prefers an error that is not only the echo of another one's cancellation.
func firstError(errs []error) error {
	var echo error
	for _, err := range errs {
		if err != nil && !cancelled(err) {
			return err
		}
		if echo == nil {
			echo = err
		}
	}
	return echo
}
