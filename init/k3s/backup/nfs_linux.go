package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"imgbuild/init/base/limit"
	"imgbuild/init/contract/fault"
	"imgbuild/init/supervise"

	"golang.org/x/sys/unix"
)

// nfsMount is where a server's directory is mounted while a backup is sent.
const nfsMount = "/run/shelf/backup"

// nfsFlags: what the server has there is data and nothing else; its links lead nowhere.
const nfsFlags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_NOATIME | unix.MS_NOSYMFOLLOW

// nfsVersions are tried in this order.
var nfsVersions = []string{"4.2", "4.1", "4.0"}

// nfsOptions are what the kernel needs (nfs(5); mount.nfs would look up addr). soft: a
// server that is gone ends in an error and not in a process that nobody can kill. timeo is in
// tenths of a second.
func nfsOptions(address, port, version string) string {
	o := fmt.Sprintf("vers=%s,addr=%s,proto=tcp,soft,timeo=150,retrans=3,sec=sys", version, address)
	if ip := net.ParseIP(address); ip != nil && ip.To4() == nil {
		o = fmt.Sprintf("vers=%s,addr=%s,proto=tcp6,soft,timeo=150,retrans=3,sec=sys", version, address)
	}
	if port != "" {
		o += ",port=" + port
	}
	return o
}

// openNFS mounts the directory by the kernel's own client. All calls into it run next to us: the
// kernel waits for a server as long as the options above set, and a caller that wants to end before
// that can.
func (j *Job) openNFS(ctx context.Context, t target) (*place, error) {
	find, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	addresses, err := net.DefaultResolver.LookupHost(find, t.host)
	if err != nil || len(addresses) == 0 {
		return nil, fault.Wrap(err, fault.Network, "", "the backup server %s", t.host)
	}
	if _, err := supervise.Run(ctx, supervise.Cmd("modprobe", "-a", "-b", "nfs", "nfsv4")); err != nil {
		j.say("nfs: %v", err) // they may be built in
	}
	if err := os.MkdirAll(nfsMount, 0o700); err != nil {
		return nil, err
	}
	_ = unix.Unmount(nfsMount, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW) // of a run that was killed
	err = limit.Do(ctx, func() error { return mountNFS(t, addresses) })
	switch {
	case ctx.Err() != nil:
		return nil, fault.Wrap(ctx.Err(), fault.Network, "", "mounting %s of %s", t.dir, t.host)
	case errors.Is(err, unix.ENODEV):
		return nil, fault.New(fault.Input, "use sftp://, or an image with the module nfsv4", "the kernel has no NFS client")
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return nil, fault.New(fault.Input, "export it to this node, for writing", "%s does not let this node use %s", t.host, t.dir)
	case errors.Is(err, unix.ENOENT):
		return nil, fault.New(fault.Input, "make it there; NFS version 4 counts from the server's pseudo root", "%s has no directory %s", t.host, t.dir)
	case errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.EINVAL):
		return nil, fault.New(fault.Input, "switch version 4 on there, or use sftp://", "%s does not speak NFS version 4", t.host)
	case err != nil:
		return nil, fault.Wrap(err, fault.Network, "", "mounting %s of %s", t.dir, t.host)
	}
	p, err := limit.Get(ctx, func() (*place, error) { return directory(nfsMount, func() {}) })
	if err != nil {
		releaseNFS(ctx)
		return nil, fault.Wrap(err, fault.Network, "", "opening %s of %s", t.dir, t.host)
	}
	return &place{
		list: func() ([]Entry, error) { return limit.Get(ctx, p.list) },
		put: func(tmp, name string, r io.Reader) error {
			return limit.Do(ctx, func() error { return p.put(tmp, name, r) })
		},
		remove: func(name string) error { return limit.Do(ctx, func() error { return p.remove(name) }) },
		close: func() {
			_ = limit.Do(ctx, func() error { p.close(); return nil })
			releaseNFS(ctx)
		},
	}, nil
}

// source is how the kernel wants server and directory to be named (fs/nfs/fs_context.c: an address
// of IPv6 is in brackets).
func (t target) source() string {
	if strings.Contains(t.host, ":") {
		return "[" + t.host + "]:" + t.dir
	}
	return t.host + ":" + t.dir
}

// mountNFS tries addresses and versions. A server that answers no is not asked again by another
// name.
func mountNFS(t target, addresses []string) (err error) {
	for _, address := range addresses {
		for _, version := range nfsVersions {
			err = unix.Mount(t.source(), nfsMount, "nfs4", nfsFlags, nfsOptions(address, t.port, version))
			if !errors.Is(err, unix.EPROTONOSUPPORT) && !errors.Is(err, unix.EINVAL) {
				break
			}
		}
		if !errors.Is(err, unix.ENETUNREACH) && !errors.Is(err, unix.EHOSTUNREACH) && !errors.Is(err, unix.ECONNREFUSED) && !errors.Is(err, unix.ETIMEDOUT) {
			return err
		}
	}
	return err
}

// releaseNFS unmounts. Where that fails, or nobody wants to wait, what is still under way to the
// server is given up.
func releaseNFS(ctx context.Context) {
	if err := limit.Do(ctx, func() error { return unix.Unmount(nfsMount, unix.UMOUNT_NOFOLLOW) }); err == nil {
		return
	}
	_ = unix.Unmount(nfsMount, unix.MNT_FORCE|unix.UMOUNT_NOFOLLOW)
	_ = unix.Unmount(nfsMount, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
}
