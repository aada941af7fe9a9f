package k3s

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"imgbuild/init/base/guard"
	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/manifest"
	"imgbuild/init/supervise"
)

// Where a node keeps the k3s that it fetched: VERSION/k3s, and links current and previous. Two
// versions are kept, so that a node that falls back to its old slot finds that slot's k3s without a
// network.
const StoreDir = "/var/lib/shelf/k3s"

const (
	firstRetry  = 5 * time.Second
	lastRetry   = 5 * time.Minute
	firstWrong  = 5 * time.Minute // after a whole file with another sum: each one costs the card as much as the right one
	lastWrong   = 12 * time.Hour
	reportEvery = 10 * time.Second // progress reaches consoles, which may be slow serial ones
	stalled     = 60 * time.Second // a transfer that moves too little for so long is given up, and resumed
	leastSpeed  = 1 << 10          // bytes a second
)

// maxBinary bounds a download whose size the manifest does not give, in bytes: k3s v1.36 has 73 MB.
const maxBinary = 256 << 20

// safeVersion is what may become a directory's name.
var safeVersion = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^v[0-9][A-Za-z0-9.+_-]{0,62}$`) })

// store is the place of fetched binaries.
type store struct {
	dir    string
	client *http.Client
	retry  time.Duration // the first pause between tries
	wrong  time.Duration // the first pause after a wrong content
	stall  time.Duration
}

// locate returns the path of exactly the k3s that the slot's manifest names, fetching it if need be
// for as long as it takes. An error means that trying again would not help, or that ctx ended.
func (s store) locate(ctx context.Context, k *manifest.K3s, say supervise.Say) (string, error) {
	if !safeVersion().MatchString(k.Version) {
		return "", fault.New(fault.Internal, "", "the manifest names k3s %q, which is not a version", k.Version)
	}
	want, err := hex.DecodeString(k.SHA256)
	if err != nil || len(want) != sha256.Size {
		return "", fault.New(fault.Internal, "", "the manifest has no checksum for k3s %s", k.Version)
	}
	dir := filepath.Join(s.dir, k.Version)
	binary := filepath.Join(dir, "k3s")
	if sum, err := sumFile(binary); err == nil && sum == k.SHA256 {
		return binary, s.keep(k.Version)
	}
	if k.URL == "" {
		return "", fault.New(fault.Input, "flash an image that brings it", "k3s %s is not on this node and there is no address to get it from", k.Version)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("k3s %s: %w", k.Version, err)
	}
	if err := s.sweep(k.Version); err != nil {
		return "", err
	}
	for failed, wrong := 0, 0; ; {
		err := s.fetch(ctx, k, binary, say.Progress)
		if err == nil {
			return binary, s.keep(k.Version)
		}
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		pause := backoff(s.retry, lastRetry, failed)
		if fault.Code(err) == int(fault.Verify) {
			pause = backoff(s.wrong, lastWrong, wrong)
			wrong++
		} else {
			failed++
		}
		say.Outside(fmt.Sprintf("k3s %s could not be fetched, trying again in %s: %v", k.Version, pause, err))
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// backoff is the pause after the nth failure of a kind, n from 0.
func backoff(first, last time.Duration, n int) time.Duration {
	for ; n > 0 && first < last; n-- {
		first *= 2
	}
	return min(first, last)
}

// sizeLimit is how many bytes a k3s may have.
func sizeLimit(k *manifest.K3s) int64 {
	if k.Size > 0 {
		return k.Size
	}
	return maxBinary
}

// fetch downloads the binary to path, going on where an earlier try ended. The file at path
// afterwards has the right sum; until then the bytes are in path.part.
func (s store) fetch(ctx context.Context, k *manifest.K3s, path string, say func(string)) error {
	part := path + ".part"
	f, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha256.New()
	have, err := io.Copy(sum, f)
	if err != nil {
		return err
	}
	if have > sizeLimit(k) {
		have, sum = 0, sha256.New()
	}
	if k.Size == 0 || have < k.Size {
		if have, err = s.transfer(ctx, k, f, sum, have, say); err != nil {
			return err
		}
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != k.SHA256 || k.Size > 0 && have != k.Size {
		// Nothing of it can be trusted; the next try begins again.
		os.Remove(part)
		return fault.New(fault.Verify, "look at what answers there; or flash an image that brings k3s (k3s=FILE)",
			"what %s gives is not k3s %s: %d bytes with the sha256 %s, pinned is %s", host(k.URL), k.Version, have, got, k.SHA256)
	}
	say("fetched k3s " + k.Version)
	if err := errors.Join(f.Truncate(have), f.Chmod(0o755), f.Sync()); err != nil {
		return err
	}
	return atomicfile.Rename(part, path)
}

// transfer appends what is missing after have bytes to f and sum, and returns the bytes there are
// then.
func (s store) transfer(ctx context.Context, k *manifest.K3s, f *os.File, sum hash.Hash, have int64, say func(string)) (int64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	idle := time.AfterFunc(s.stall, func() {
		defer guard.Catch()
		cancel(fmt.Errorf("nothing came for %s", s.stall))
	})
	defer idle.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, k.URL, nil)
	if err != nil {
		return have, err
	}
	if have > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return have, because(ctx, err)
	}
	defer resp.Body.Close()
	switch {
	case have > 0 && resp.StatusCode == http.StatusPartialContent && strings.HasPrefix(resp.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", have)):
	case resp.StatusCode == http.StatusOK:
		have = 0
		sum.Reset()
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable, resp.StatusCode == http.StatusPartialContent:
		// Another file, or a server that cannot resume: begin again next time.
		return have, errors.Join(fmt.Errorf("%s cannot go on at byte %d", host(k.URL), have), f.Truncate(0))
	default:
		return have, fmt.Errorf("%s answers %s", host(k.URL), resp.Status)
	}
	if err := f.Truncate(have); err != nil {
		return have, err
	}
	if _, err := f.Seek(have, io.SeekStart); err != nil {
		return have, err
	}
	total := have + max(resp.ContentLength, 0)
	switch {
	case k.Size > 0 && resp.ContentLength > 0 && total != k.Size:
		return have, fmt.Errorf("%s has a file of %d bytes, k3s %s has %d", host(k.URL), total, k.Version, k.Size)
	case total > maxBinary:
		return have, fmt.Errorf("%s has a file of %d bytes, which is too large for k3s", host(k.URL), total)
	}
	buf := make([]byte, 256<<10)
	looked, had := time.Now(), have // when the speed was looked at, and the bytes then
	for last := looked; ; {
		if past := time.Since(looked); past >= s.stall {
			if float64(have-had) < past.Seconds()*leastSpeed {
				return have, fmt.Errorf("%s gives less than %d bytes a second", host(k.URL), leastSpeed)
			}
			looked, had = time.Now(), have
		}
		n, rerr := resp.Body.Read(buf)
		if n > 0 {
			idle.Reset(s.stall)
			n = int(min(int64(n), sizeLimit(k)+1-have)) // one byte too many is enough to know
			if _, err := f.Write(buf[:n]); err != nil {
				return have, err
			}
			sum.Write(buf[:n])
			have += int64(n)
		}
		if have > sizeLimit(k) {
			return have, nil // the sum will differ
		}
		if rerr == io.EOF {
			return have, nil
		}
		if rerr != nil {
			return have, because(ctx, rerr)
		}
		if time.Since(last) > reportEvery {
			last = time.Now()
			say(progress(k.Version, have, max(k.Size, total)))
		}
	}
}

func progress(version string, have, total int64) string {
	if total <= 0 {
		return fmt.Sprintf("fetching k3s %s: %d MB", version, have>>20)
	}
	return fmt.Sprintf("fetching k3s %s: %d of %d MB", version, have>>20, total>>20)
}

// because prefers the reason for which a transfer was ended to the words of the library.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

func host(address string) string {
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		return u.Host
	}
	return address
}

// link is the version that the link current or previous names.
func (s store) link(name string) string {
	target, _ := os.Readlink(filepath.Join(s.dir, name))
	return target
}

// sweep removes what was begun of versions that are neither wanted, nor current, nor the previous
// one: what several of them left behind would fill the card.
func (s store) sweep(wanted string) error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("k3s store: %w", err)
	}
	for _, e := range entries {
		if name := e.Name(); e.IsDir() && safeVersion().MatchString(name) && !slices.Contains([]string{wanted, s.link("current"), s.link("previous")}, name) {
			if err := os.RemoveAll(filepath.Join(s.dir, name)); err != nil {
				return fmt.Errorf("k3s store: %w", err)
			}
		}
	}
	return nil
}

// keep makes version the current one, the one before the previous one, and removes all others.
func (s store) keep(version string) error {
	current, previous := s.link("current"), s.link("previous")
	if current != version {
		previous = current
	}
	set := func(name, target string) error {
		if target == "" || s.link(name) == target {
			return nil
		}
		return atomicfile.Symlink(target, filepath.Join(s.dir, name))
	}
	if err := errors.Join(set("previous", previous), set("current", version)); err != nil {
		return fmt.Errorf("k3s store: %w", err)
	}
	if err := s.sweep(version); err != nil {
		return err
	}
	return atomicfile.SyncDir(s.dir)
}

func sumFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
