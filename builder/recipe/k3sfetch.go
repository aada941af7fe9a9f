package recipe

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"imgbuild/builder/blockcache"
	"imgbuild/builder/debian"
	"imgbuild/builder/neterr"
	"imgbuild/init/contract/fault"
)

// k3sPatience is how long k3s=auto asks, in all, whether the download is available.
const k3sPatience = 15 * time.Second

// Decide carries out k3s=auto, firstboot, none, VERSION or FILE: it decides where k3s comes from
// and fetches it if it is to be embedded. Slots without k3s have none whatever the option is.
// progress may be nil.
func (l *Locked) Decide(ctx context.Context, option string, c Carried, cache *blockcache.Cache, progress func(done, total int64)) (*Ready, error) {
	k, fetch, err := l.sourceK3s(option)
	next := l
	if err != nil && isVersion(option) && !l.strict && debian.ValidK3s(option) {
		// Any release will do: its own sums identify it, and the lock keeps them.
		if next, err = l.LockK3s(ctx, option); err != nil {
			return nil, err
		}
		k, fetch, err = next.sourceK3s(option)
	}
	if err != nil {
		return nil, err
	}
	if fetch {
		maybe := auto(option)
		got, err := embedK3s(ctx, k, l.releases.Client, cache, maybe, progress)
		switch {
		case err == nil:
			k = got
		case !maybe || ctx.Err() != nil || fault.Code(err) != int(fault.Network):
			return nil, err
		default:
			var f *fault.Error
			if errors.As(err, &f) && f.Err != nil {
				err = f.Err // that it was fetched, and the ways out, are reported below
			}
			k.Source = FirstBoot
			k.Warning = fmt.Sprintf("k3s %s could not be fetched: %s\nthe node fetches it at its first boot, so it needs the internet then; or give the binary as k3s=FILE", k.Version, neterr.Words(err))
		}
	}
	return newReady(ready{next.locked, k, c}, next != l)
}

// Plan is what Decide would give, without asking the network: with auto it is not decided before
// the build.
func (l *Locked) Plan(option string, c Carried) (*Planned, error) {
	k, _, err := l.sourceK3s(option)
	switch {
	case err != nil && isVersion(option) && !l.strict && debian.ValidK3s(option):
		k = K3s{Version: option, Source: Embedded + ", with the sum that its release publishes"}
	case err != nil:
		return nil, err
	case l.Slot.K3s && auto(option):
		k.Source = "embedded if it is available, else " + FirstBoot
	}
	return &Planned{ready{l.locked, k, c}}, nil
}

// sourceK3s is the k3s that an option means; fetch reports whether it is still to be fetched.
func (l *locked) sourceK3s(option string) (k K3s, fetch bool, err error) {
	switch {
	case !l.Slot.K3s || option == NoK3s:
		return K3s{Source: NoK3s}, false, nil
	case auto(option):
		k, err = l.pinnedK3s(l.chosenK3s())
		k.Source = Embedded
		return k, true, err
	case option == FirstBoot:
		k, err = l.pinnedK3s(l.chosenK3s())
		k.Source = FirstBoot
		return k, false, err
	case isVersion(option):
		k, err = l.pinnedK3s(option)
		k.Source = Embedded
		return k, true, err
	}
	k, err = K3sFile(option, l.Family.Arch)
	return k, false, err
}

// IsK3sFile reports whether a value of k3s= names a file.
func IsK3sFile(option string) bool {
	return option != "" && option != "auto" && option != FirstBoot && option != NoK3s && !isVersion(option)
}

func isVersion(option string) bool {
	return strings.HasPrefix(option, "v") && !strings.ContainsAny(option, "/")
}

// embedK3s fetches the pinned binary into the cache and gives where it is. With brief it asks
// first, for a few seconds, whether it is there.
func embedK3s(ctx context.Context, k K3s, client *http.Client, cache *blockcache.Cache, brief bool, progress func(done, total int64)) (K3s, error) {
	var sum [32]byte
	if n, err := hex.Decode(sum[:], []byte(k.SHA256)); err != nil || n != len(sum) {
		return k, fmt.Errorf("the pinned sum of k3s %s is not a sha256", k.Version)
	}
	f, ok := cache.Blob(sum)
	if !ok {
		got, err := fetchK3s(ctx, k, client, cache, brief, false, progress)
		if err == nil && got != sum { // once more: a cache on the way may have spoilt it, or the line
			got, err = fetchK3s(ctx, k, client, cache, brief, true, progress)
		}
		if err != nil {
			return k, err
		}
		if got != sum {
			return k, fault.New(fault.Verify, "do not use it; report it to the project", "k3s %s from %s has the sha256 %x, pinned is %s", k.Version, k.URL, got, k.SHA256)
		}
		if f, ok = cache.Blob(sum); !ok {
			return k, fmt.Errorf("k3s %s vanished from the cache", k.Version)
		}
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return k, err
	}
	k.Source, k.File, k.Size = Embedded, f.Name(), info.Size()
	return k, nil
}

// fetchK3s brings what is at the address into the cache and returns its sha256. With fresh caches
// on the way are asked not to answer.
func fetchK3s(ctx context.Context, k K3s, client *http.Client, cache *blockcache.Cache, brief, fresh bool, progress func(done, total int64)) (sum [32]byte, err error) {
	d, err := getK3s(ctx, client, k.URL, brief, fresh, progress)
	if err != nil {
		return sum, fault.Wrap(err, fault.Network, "give the binary as k3s=FILE, or build with k3s=firstboot", "fetching k3s %s", k.Version)
	}
	defer d.close()
	sum, err = cache.PutBlob(d)
	return sum, fault.Wrap(err, fault.Network, "give the binary as k3s=FILE", "fetching k3s %s", k.Version)
}

// k3sStall is how long a download may be silent once it runs, or give less than k3sLeast bytes a
// second.
const (
	k3sStall = 30 * time.Second
	k3sLeast = 1 << 10
)

// download is the body of a running download. It ends with an error of its own when the server
// falls silent.
type download struct {
	*http.Response
	ctx      context.Context
	cancel   context.CancelCauseFunc
	timer    *time.Timer
	waited   time.Duration // for the server, since the speed was looked at
	got      int64         // bytes in that time
	done     int64
	progress func(done, total int64)
}

// getK3s opens the download; the limit covers name, connection, redirects and headers, not the
// body.
func getK3s(ctx context.Context, client *http.Client, url string, brief, fresh bool, progress func(done, total int64)) (*download, error) {
	patience := 2 * time.Minute
	if brief {
		patience = k3sPatience
	}
	d := &download{progress: progress}
	d.ctx, d.cancel = context.WithCancelCause(ctx)
	d.timer = time.AfterFunc(patience, func() { d.cancel(fmt.Errorf("no answer within %s", patience)) })
	req, err := http.NewRequestWithContext(d.ctx, http.MethodGet, url, nil)
	if err == nil {
		if fresh {
			req.Header.Set("Cache-Control", "no-cache")
		}
		c := *client
		c.Timeout = 0 // the whole transfer may take its time; it ends when it stalls
		d.Response, err = c.Do(req)
	}
	d.timer.Stop()
	if err != nil {
		return nil, d.reason(err)
	}
	if d.StatusCode != http.StatusOK {
		d.close()
		return nil, fmt.Errorf("the server answers %s", d.Status)
	}
	d.timer = time.AfterFunc(k3sStall, func() { d.cancel(fmt.Errorf("the server was silent for %s", k3sStall)) })
	d.timer.Stop() // it runs while something is read
	return d, nil
}

// reason returns why we ended the download where we did, else err.
func (d *download) reason(err error) error {
	if cause := context.Cause(d.ctx); cause != nil {
		err = cause
	}
	d.cancel(nil)
	return err
}

func (d *download) Read(p []byte) (int, error) {
	if d.waited >= k3sStall {
		if d.got < int64(k3sStall.Seconds())*k3sLeast {
			return 0, fmt.Errorf("the server gives less than %d bytes a second", k3sLeast)
		}
		d.waited, d.got = 0, 0
	}
	began := time.Now()
	d.timer.Reset(k3sStall)
	n, err := d.Body.Read(p)
	d.timer.Stop()
	d.waited += time.Since(began)
	d.got += int64(n)
	d.done += int64(n)
	if d.progress != nil {
		d.progress(d.done, d.ContentLength)
	}
	if err != nil && err != io.EOF {
		err = d.reason(err)
	}
	return n, err
}

func (d *download) close() {
	d.timer.Stop()
	d.Body.Close()
	d.cancel(nil)
}
