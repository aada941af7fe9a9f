package serve

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"imgbuild/init/base/cgroup"
	"imgbuild/init/base/mount"
	"imgbuild/init/contract/fault"
	"imgbuild/init/storage/shares"
	"imgbuild/init/supervise"

	"golang.org/x/sys/unix"
)

// Names of the units; config.StorageServices has them too.
const (
	nfsdcld = "nfsdcld"
	mountd  = "mountd"
	nfsd    = "nfsd"
	smbd    = "smbd"
	vsftpd  = "vsftpd"
)

// threads holds the kernel's NFS threads: it starts them, stays, and stops them when it is asked to
// end. The kernel's threads themselves are not a process that can be watched.
const threads = `trap 'rpc.nfsd 0; exit 0' TERM INT
rpc.nfsd -N 3 "$1" || exit 1
while [ "$(cat /proc/fs/nfsd/threads)" != 0 ]; do sleep 30 & wait $!; done
echo 'the kernel has no NFS threads any more'; exit 1`

// readyLimit is how long a server may take to listen. smbd on a busy emulated board needed more
// than a minute, and ending it there made it begin again for ever.
const readyLimit = 5 * time.Minute

// Units are the services that the configuration asks for, in the order in which they start.
func (s *Server) Units() []supervise.Unit {
	p := shares.Make(s.Config().Storage)
	var list []supervise.Unit
	common := supervise.Unit{OOMScore: -500, StopOrder: 20, Restart: supervise.Always, StopTimeout: 15 * time.Second, NoFile: 65536, Limits: cgroup.Limits{CPUWeight: 200}}
	add := func(name string, change func(u *supervise.Unit), command ...string) {
		u := common
		u.Name, u.Command, u.Prepare = name, command, s.prepare(name)
		change(&u)
		list = append(list, u)
	}
	if p.Any("nfs") {
		add(nfsdcld, func(u *supervise.Unit) { u.Prepare = s.prepareNFS }, "nfsdcld", "-F", "-s", stateLink+"/nfsdcld")
		add(mountd, func(u *supervise.Unit) { u.Needs = []string{nfsdcld} }, "rpc.mountd", "-F", "-N", "2", "-N", "3")
		add(nfsd, func(u *supervise.Unit) {
			u.Needs, u.Prepare = []string{mountd}, s.prepareThreads
			u.Env = []string{fmt.Sprintf("GRACE=%d", int(p.Settings.NFS.Grace.Seconds()))} // a change of it is a change of the unit
			u.Ready = supervise.Ready{Kind: supervise.TCP, Address: nfsAddress, Timeout: readyLimit}
		}, "busybox", "ash", "-c", threads, "nfsd", strconv.Itoa(p.Settings.NFS.Threads))
	}
	if p.Any("smb") {
		add(smbd, func(u *supervise.Unit) {
			u.Ready = supervise.Ready{Kind: supervise.TCP, Address: smbAddress, Timeout: readyLimit}
		}, "smbd", "-F", "--no-process-group", "--debug-stdout", "--configfile="+sambaFile)
	}
	if p.Any("ftp") {
		add(vsftpd, func(u *supervise.Unit) {
			u.KeepOthers = true // sessions go on when the listener is started again
			u.Env = []string{"CONFIG=" + sum(p.FTP())}
			u.Ready = supervise.Ready{Kind: supervise.TCP, Address: ftpAddress, Timeout: readyLimit}
			// It reports errors of its configuration on descriptor 0.
		}, "busybox", "ash", "-c", "exec vsftpd "+ftpFile+" 0>&1", "vsftpd")
	}
	return list
}

// Names are the units that the configuration asks for.
func (s *Server) Names() []string {
	var names []string
	for _, u := range s.Units() {
		names = append(names, u.Name)
	}
	return names
}

// prepare waits until what a server needs is there: a disk, its files and accounts.
func (s *Server) prepare(name string) func(context.Context, supervise.Say) error {
	return func(context.Context, supervise.Say) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if why := s.lacks(name); why != "" {
			return &supervise.Waiting{What: why}
		}
		return nil
	}
}

// prepareNFS makes the kernel's side of NFS ready, and the directories of its programs.
func (s *Server) prepareNFS(ctx context.Context, say supervise.Say) error {
	if err := s.prepare(nfsd)(ctx, say); err != nil {
		return err
	}
	if err := s.Load("nfsd"); err != nil {
		return fault.Wrap(err, fault.Internal, "look whether the image has the module", "the NFS server of the kernel")
	}
	for _, m := range []mount.Mount{
		{Source: "nfsd", Path: "/proc/fs/nfsd", Type: "nfsd"},
		{Source: "rpc_pipefs", Path: "/var/lib/nfs/rpc_pipefs", Type: "rpc_pipefs"},
	} {
		if _, err := os.Stat(map[string]string{"nfsd": m.Path + "/threads", "rpc_pipefs": m.Path + "/nfsd"}[m.Type]); err == nil {
			continue
		}
		if err := mount.Do(m); err != nil {
			return err
		}
	}
	return os.MkdirAll(stateLink+"/nfsdcld", 0o700)
}

// prepareThreads sets how long locks last, which the kernel takes only while no thread runs.
func (s *Server) prepareThreads(ctx context.Context, say supervise.Say) error {
	if err := s.prepare(nfsd)(ctx, say); err != nil {
		return err
	}
	if _, err := supervise.Run(ctx, supervise.Cmd("exportfs", "-ra")); err != nil {
		return err
	}
	grace := strconv.Itoa(int(s.plan().Settings.NFS.Grace.Seconds()))
	for _, name := range []string{"nfsv4leasetime", "nfsv4gracetime"} {
		if err := os.WriteFile("/proc/fs/nfsd/"+name, []byte(grace), 0); err != nil && !os.IsPermission(err) {
			s.Say("nfsd: %s stays as it is: %v", name, err)
		}
	}
	return nil
}

// binding is a bind mount, read-only unless write.
func binding(b shares.Bind) mount.Mount {
	flags := uintptr(unix.MS_BIND | unix.MS_NOSUID | unix.MS_NODEV)
	if !b.Write {
		flags |= unix.MS_RDONLY
	}
	return mount.Mount{Source: b.From, Path: b.To, Flags: flags}
}
