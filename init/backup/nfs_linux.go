package backup

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"imgbuild/init/fault"
	"imgbuild/init/service"

	"golang.org/x/sys/unix"
)

// nfsMount is where a server's directory is mounted while a backup is sent.
const nfsMount = "/run/shelf/backup"

// nfsVersions are tried in this order.
var nfsVersions = []string{"4.2", "4.1", "4.0"}

// nfsOptions are what the kernel wants to be told (nfs(5); mount.nfs would look up addr). soft: a server that is gone ends in an
// error and not in a process that nobody can kill. timeo is in tenths of a second.
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

// openNFS mounts the directory by the kernel's own client.
func (j *Job) openNFS(ctx context.Context, t target) (*place, error) {
	find, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	addresses, err := net.DefaultResolver.LookupHost(find, t.host)
	if err != nil || len(addresses) == 0 {
		return nil, fault.Wrap(fault.Network, err, "the backup server "+t.host, "")
	}
	if _, err := service.Run(ctx, service.Cmd("modprobe", "-a", "-b", "nfs", "nfsv4")); err != nil {
		j.say("nfs: %v", err) // they may be built in
	}
	if err := os.MkdirAll(nfsMount, 0o700); err != nil {
		return nil, err
	}
	release := func() {
		if unix.Unmount(nfsMount, unix.UMOUNT_NOFOLLOW) != nil {
			_ = unix.Unmount(nfsMount, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		}
	}
	release() // of a run that was killed
	for _, version := range nfsVersions {
		err = unix.Mount(t.host+":"+t.dir, nfsMount, "nfs4", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC|unix.MS_NOATIME, nfsOptions(addresses[0], t.port, version))
		if !errors.Is(err, unix.EPROTONOSUPPORT) && !errors.Is(err, unix.EINVAL) {
			break
		}
	}
	switch {
	case errors.Is(err, unix.ENODEV):
		return nil, fault.New(fault.Input, "use sftp://, or an image with the module nfsv4", "the kernel has no NFS client")
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return nil, fault.New(fault.Input, "export it to this node, for writing", "%s does not let this node use %s", t.host, t.dir)
	case errors.Is(err, unix.ENOENT):
		return nil, fault.New(fault.Input, "make it there; NFS version 4 counts from the server's pseudo root", "%s has no directory %s", t.host, t.dir)
	case err != nil:
		return nil, fault.Wrap(fault.Network, err, fmt.Sprintf("mounting %s of %s", t.dir, t.host), "")
	}
	return directory(nfsMount, release), nil
}
