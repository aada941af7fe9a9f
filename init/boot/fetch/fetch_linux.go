// Package fetch brings what the configuration names elsewhere: ssh keys and data sources of the
// network, and the disk called CIDATA.
package fetch

import (
	"context"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"imgbuild/init/base/guard"
	"imgbuild/init/base/mount"
	"imgbuild/init/base/report"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/settings/apply"
	"imgbuild/init/settings/sources"

	"golang.org/x/sys/unix"
)

// How long the boot waits for a disk called CIDATA that the configuration names: a USB stick takes
// seconds to show up. A node that knows what was on it the last time does not wait as long.
const (
	volumeLimit = 10 * time.Second
	volumeAgain = 2 * time.Second
	volumePause = 100 * time.Millisecond
)

// Pauses between tries to fetch from another place: the first, and the longest that they grow to.
const (
	fetchFirst = 2 * time.Second
	fetchLast  = 10 * time.Minute
	fetchEach  = 30 * time.Second // for one answer
)

// Fetcher fetches in the background. All methods may be called from any goroutine.
type Fetcher struct {
	Store   string                      // where what was fetched is kept
	Time    func(context.Context) error // waits for the right time: certificates have dates
	Changed func()                      // is called when something new came

	mu   sync.Mutex
	stop context.CancelFunc
	what string // the places, to see whether they changed
}

// Volume reads the disk called CIDATA, if the configuration names it, and reports whether it
// brought something new. load loads a kernel module.
func Volume(cfg *config.Config, store string, load func(module string, params ...string) error, t report.Reporter) (changed bool) {
	asked := false
	for _, s := range sources.List(cfg.K3OS.DataSources) {
		asked = asked || s.Volume
	}
	if !asked {
		return false
	}
	limit := volumeLimit
	if sources.Has(store, sources.Volume) {
		limit = volumeAgain
	}
	return read(sources.Prober{Sys: "/sys", Dev: "/dev", Mount: mountISO(load)}, store, limit, t)
}

// read waits for the disk and keeps what is on it.
func read(p sources.Prober, store string, limit time.Duration, t report.Reporter) (changed bool) {
	for end := time.Now().Add(limit); ; time.Sleep(volumePause) {
		files, device, err := p.Read()
		if err != nil {
			t.Problem(fault.Wrap(err, fault.Device, "write it again, with a file user-data on it", "%s cannot be read", device))
			return false
		}
		if files != nil {
			changed, err := sources.Keep(store, sources.Volume, files)
			t.Problem(err)
			if changed {
				t.Say("configuration from %s", device)
			}
			return changed
		}
		if time.Now().After(end) {
			break
		}
	}
	if limit == volumeLimit {
		t.Problem(fault.New(fault.Device, "plug it in and reboot, or take it out of k3os.data_sources", "no disk is called CIDATA"))
	}
	return false
}

// mountISO mounts an ISO 9660 volume where nobody else looks.
func mountISO(load func(module string, params ...string) error) func(device string) (dir string, done func(), err error) {
	return func(device string) (dir string, done func(), err error) {
		if err := load("isofs"); err != nil {
			return "", nil, err
		}
		dir = "/run/shelf/cidata"
		m := mount.Mount{Source: device, Path: dir, Type: "iso9660", Flags: unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC}
		if err := m.Do(); err != nil {
			return "", nil, err
		}
		return dir, func() {
			_ = unix.Unmount(dir, unix.MNT_DETACH)
			_ = os.Remove(dir)
		}, nil
	}
}

// Keys returns what the places named in ssh_authorized_keys gave last.
func Keys(store string, cfg *config.Config) (keys []string) {
	for _, k := range cfg.SSHAuthorizedKeys {
		if k = strings.TrimSpace(k); apply.Remote(k) {
			keys = append(keys, apply.ParseKeys(sources.Kept(store, k, sources.KeysFile))...)
		}
	}
	return keys
}

// Follow fetches what the configuration names elsewhere, ssh keys and data sources, without holding
// up anything, until all has come. The earlier content stays in force meanwhile. Called again it
// takes up what has changed.
func (f *Fetcher) Follow(cfg *config.Config, t report.Reporter) {
	var keys, names []string
	for _, k := range cfg.SSHAuthorizedKeys {
		if k = strings.TrimSpace(k); apply.Remote(k) {
			keys = append(keys, k)
		}
	}
	var urls []sources.Source
	for _, s := range sources.List(cfg.K3OS.DataSources) {
		names = append(names, s.Name)
		if s.URL != "" {
			urls = append(urls, s)
		}
	}
	names = append(names, keys...)
	what := strings.Join(names, "\n")
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stop != nil && f.what == what {
		return
	}
	if f.stop != nil {
		f.stop()
	}
	t.Problem(sources.Forget(f.Store, names))
	ctx, stop := context.WithCancel(context.Background())
	f.stop, f.what = stop, what
	client := &http.Client{Timeout: fetchEach}
	for _, k := range keys {
		f.until(ctx, !strings.HasPrefix(k, "http:"), t.Problem, func() (bool, error) {
			got, err := apply.Fetch(ctx, client, []string{k})
			if err != nil {
				return false, err
			}
			return sources.Keep(f.Store, k, map[string][]byte{sources.KeysFile: []byte(strings.Join(got, "\n") + "\n")})
		})
	}
	for _, s := range urls {
		if sources.Matches(f.Store, s.Name, s.SHA256) {
			continue
		}
		f.until(ctx, !strings.HasPrefix(s.URL, "http:"), t.Problem, func() (bool, error) {
			data, err := sources.Fetch(ctx, client, s.DataSource)
			if err != nil {
				return false, err
			}
			return sources.Keep(f.Store, s.Name, map[string][]byte{config.UserDataName: data})
		})
	}
}

// until tries again and again, ever more rarely, and has the configuration read again when
// something new came. The first failure is reported: that shows a mistake in an address
// immediately, and the cost of a network that comes late. dated: certificates are checked, which
// have dates.
func (f *Fetcher) until(ctx context.Context, dated bool, problem func(error), try func() (changed bool, err error)) {
	guard.Go(func() {
		if dated {
			_ = f.Time(ctx)
		}
		reported := ""
		for pause := fetchFirst; ; pause = min(2*pause, fetchLast) {
			changed, err := try()
			if err == nil {
				if changed {
					f.Changed()
				}
				return
			}
			if ctx.Err() != nil {
				return
			}
			if reported != err.Error() {
				reported = err.Error()
				problem(err)
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause):
			}
		}
	})
}
