package boot

import (
	"context"
	"net/http"
	"os"
	"strings"
	"time"

	"imgbuild/init/base/guard"
	"imgbuild/init/base/mount"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/settings/apply"
	"imgbuild/init/settings/sources"

	"golang.org/x/sys/unix"
)

// How long the boot waits for a disk called CIDATA that the configuration names: a USB stick takes seconds to show up. A
// node that knows what was on it the last time does not wait as long.
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

// following is the work of fetching what the configuration names.
type following struct {
	stop context.CancelFunc
	what string // the places, to see whether they changed

}

// volumes reads the disk called CIDATA, if the configuration names it, and says whether it brought something new.
func (n *Node) volumes(cfg *config.Config) (changed bool) {
	asked := false
	for _, s := range sources.List(cfg.K3OS.DataSources) {
		asked = asked || s.Volume
	}
	if !asked {
		return false
	}
	limit := volumeLimit
	if sources.Has(sources.Store, sources.Volume) {
		limit = volumeAgain
	}
	p := sources.Prober{Sys: "/sys", Dev: "/dev", Mount: n.mountISO}
	t := n.tell.For("config")
	for end := time.Now().Add(limit); ; time.Sleep(volumePause) {
		files, device, err := p.Read()
		if err != nil {
			t.Problem(fault.Wrap(err, fault.Device, "write it again, with a file user-data on it", "%s cannot be read", device))
			return false
		}
		if files != nil {
			changed, err := sources.Keep(sources.Store, sources.Volume, files)
			t.Problem(err)
			if changed {
				n.tell.Say("configuration from %s", device)
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
func (n *Node) mountISO(device string) (dir string, done func(), err error) {
	if err := n.pre.Modules.Load("isofs"); err != nil {
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

// remoteKeys gives what the places named in ssh_authorized_keys gave last.
func remoteKeys(cfg *config.Config) (keys []string) {
	for _, k := range cfg.SSHAuthorizedKeys {
		if k = strings.TrimSpace(k); apply.Remote(k) {
			keys = append(keys, apply.ParseKeys(sources.Kept(sources.Store, k, sources.KeysFile))...)
		}
	}
	return keys
}

// fetch fetches what the configuration names elsewhere, ssh keys and data sources, without holding up anything, until all
// has come. What came before stays in force meanwhile. Called again it takes up what has changed.
func (n *Node) fetch(cfg *config.Config) {
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
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.following.stop != nil && n.following.what == what {
		return
	}
	if n.following.stop != nil {
		n.following.stop()
	}
	t := n.tell.For("config")
	t.Problem(sources.Forget(sources.Store, names))
	ctx, stop := context.WithCancel(context.Background())
	n.following = following{stop: stop, what: what}
	client := &http.Client{Timeout: fetchEach}
	for _, k := range keys {
		n.until(ctx, !strings.HasPrefix(k, "http:"), t.Problem, func() (bool, error) {
			got, err := apply.Fetch(ctx, client, []string{k})
			if err != nil {
				return false, err
			}
			return sources.Keep(sources.Store, k, map[string][]byte{sources.KeysFile: []byte(strings.Join(got, "\n") + "\n")})
		})
	}
	for _, s := range urls {
		if sources.Matches(sources.Store, s.Name, s.SHA256) {
			continue
		}
		n.until(ctx, !strings.HasPrefix(s.URL, "http:"), t.Problem, func() (bool, error) {
			data, err := sources.Fetch(ctx, client, s.DataSource)
			if err != nil {
				return false, err
			}
			return sources.Keep(sources.Store, s.Name, map[string][]byte{config.UserDataName: data})
		})
	}
}

// until tries again and again, ever more rarely, and has the configuration read again when something new came. The first
// failure is told: a slip in an address shows at once, and of a network that comes late it says what it costs. dated says
// that certificates are looked at, which have dates.
func (n *Node) until(ctx context.Context, dated bool, tell func(error), try func() (changed bool, err error)) {
	guard.Go(func() {
		if dated {
			_ = n.clock.Wait(ctx, n.current().Time.Wait)
		}
		told := ""
		for pause := fetchFirst; ; pause = min(2*pause, fetchLast) {
			changed, err := try()
			if err == nil {
				if changed {
					n.order(order{verb: "reload", reason: "fetched"})
				}
				return
			}
			if ctx.Err() != nil {
				return
			}
			if told != err.Error() {
				told = err.Error()
				tell(err)
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause):
			}
		}
	})
}
