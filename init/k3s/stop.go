package k3s

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/moby/sys/mountinfo"
	"imgbuild/init/base/cgroup"
	"imgbuild/init/base/guard"
	"imgbuild/init/base/limit"
)

// podGrace is how long pods have to end at a shutdown: Kubernetes' own default
// (terminationGracePeriodSeconds).
const podGrace = 30 * time.Second

// podMounts are the trees in which containers leave mounts behind that keep /var busy.
var podMounts = []string{"/var/lib/kubelet", "/run/k3s", "/run/netns", "/run/containerd"}

// pods is what StopPods works on.
type pods struct {
	kubepods *cgroup.Group
	rest     []*cgroup.Group // killed at last: shims, k3s' own
	proc     string          // /proc
	signal   func(pid int, sig syscall.Signal)
	unmount  func(path string) error
	grace    time.Duration
}

// StopPods ends every container after k3s itself has ended: SIGTERM to all processes but the
// sandboxes, which hold the network that the others may need to close connections, then SIGKILL for
// the whole group, then the mounts. ctx bounds all of it. It is for shutdown only: a restart of k3s
// leaves pods alone.
func StopPods(ctx context.Context, groups *cgroup.Tree) error {
	p := pods{
		kubepods: groups.Group("kubepods"), rest: []*cgroup.Group{groups.Group("k3s"), groups.Group("shelf/k3s")},
		proc: "/proc", signal: func(pid int, sig syscall.Signal) { _ = syscall.Kill(pid, sig) },
		unmount: patient(unmountLimit), grace: podGrace,
	}
	return p.stop(ctx)
}

// unmountLimit is for one file system, which may be a network's whose server is gone.
const unmountLimit = 10 * time.Second

// patient returns what unmounts one path after the other. It waits that long for the first that
// does not come to an end, gives up what is still under way to its server, and waits a moment for
// others of the kind: often they are of one server.
func patient(wait time.Duration) func(path string) error {
	return func(path string) error {
		err := limit.Within(wait, func() error { return unix.Unmount(path, unix.UMOUNT_NOFOLLOW) })
		if !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		wait = time.Second
		guard.Go(func() {
			_ = unix.Unmount(path, unix.MNT_FORCE|unix.UMOUNT_NOFOLLOW)
			_ = unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		})
		return errors.New("its server does not answer")
	}
}

func (p pods) stop(ctx context.Context) error {
	var errs []error
	if p.kubepods.Exists() {
		asked, cancel := context.WithTimeout(ctx, p.grace)
		p.ask(asked)
		cancel()
		errs = append(errs, p.kubepods.Kill())
	}
	for _, g := range p.rest {
		errs = append(errs, g.Kill())
	}
	// A killed process takes a moment to leave its mounts.
	for range 50 {
		if !slices.ContainsFunc(append(p.rest, p.kubepods), (*cgroup.Group).Populated) {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	return errors.Join(append(errs, p.unmountAll())...)
}

// ask sends SIGTERM to the containers and waits until only sandboxes are left, or ctx ends.
func (p pods) ask(ctx context.Context) {
	reported := map[int]bool{}
	for {
		pids, err := p.kubepods.Procs()
		if err != nil {
			return
		}
		left := 0
		for _, pid := range pids {
			name, err := os.ReadFile(filepath.Join(p.proc, strconv.Itoa(pid), "comm"))
			if err != nil || strings.TrimSpace(string(name)) == "pause" {
				continue
			}
			left++
			if !reported[pid] { // also those that were forked meanwhile
				reported[pid] = true
				p.signal(pid, syscall.SIGTERM)
			}
		}
		if left == 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// unmountAll unmounts what is below podMounts, the innermost and newest first.
func (p pods) unmountAll() error {
	f, err := os.Open(filepath.Join(p.proc, "self", "mountinfo"))
	if err != nil {
		return fmt.Errorf("mounts of pods: %w", err)
	}
	defer f.Close()
	mounts, err := mountinfo.GetMountsFromReader(f, below(podMounts))
	if err != nil {
		return fmt.Errorf("mounts of pods: %w", err)
	}
	var errs []error
	for _, m := range slices.Backward(mounts) {
		path := m.Mountpoint
		if err := p.unmount(path); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOENT) {
			errs = append(errs, fmt.Errorf("unmounting %s: %w", path, err))
		}
	}
	return errors.Join(errs...)
}

// below takes the mount points strictly below the given trees. The order stays that of mounting.
func below(trees []string) mountinfo.FilterFunc {
	return func(m *mountinfo.Info) (skip, stop bool) {
		return !slices.ContainsFunc(trees, func(tree string) bool { return strings.HasPrefix(m.Mountpoint, tree+"/") }), false
	}
}
