package serve

import (
	"context"
	"time"

	"imgbuild/init/base/cgroup"
	"imgbuild/init/base/mount"
	"imgbuild/init/storage/shares"
	"imgbuild/init/supervise"

	"golang.org/x/sys/unix"
)

// cldPipe is how the kernel reaches nfsdcld; it is there while the kernel records its clients.
const cldPipe = pipefs + "/nfsd/cld"

// Names of the units; config.StorageServices has them too.
const (
	rpcbind = "rpcbind"
	statd   = "statd"
	nfsdcld = "nfsdcld"
	mountd  = "mountd"
	nfsd    = "nfsd"
	smbd    = "smbd"
	vsftpd  = "vsftpd"
)

// threadsScript holds the kernel's NFS threads: it starts them, stays, and stops them when it is
// asked to end. The kernel's threads themselves are not a process that can be watched.
//
// At its start the kernel waits one second for nfsdcld. Without it, it serves all the same and
// removes its pipe: nobody is recorded then, and all locks are lost at the next start.
const threadsScript = `trap 'rpc.nfsd 0; exit 0' TERM INT
rpc.nfsd "$@" || exit 1
if [ ! -e ` + cldPipe + ` ]; then
	rpc.nfsd 0
	echo 'the kernel did not reach nfsdcld within a second; it is started again'; exit 1
fi
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
		s.nfsUnits(p, add)
	}
	if p.Any("smb") {
		add(smbd, func(u *supervise.Unit) {
			u.StopOrder = 21 // the kernel's server lets go of the disk first
			u.Ready = supervise.Ready{Kind: supervise.TCP, Address: smbAddress, Timeout: readyLimit}
		}, "smbd", "-F", "--no-process-group", "--debug-stdout", "--configfile="+sambaFile)
	}
	if p.Any("ftp") {
		add(vsftpd, func(u *supervise.Unit) {
			u.StopOrder = 22
			u.KeepOthers = true // sessions go on when the listener is started again
			u.Env = []string{"CONFIG=" + sum(p.FTP())}
			u.Ready = supervise.Ready{Kind: supervise.TCP, Address: ftpAddress, Timeout: readyLimit}
			// It reports errors of its configuration on descriptor 0.
		}, "busybox", "ash", "-c", "exec vsftpd "+ftpFile+" 0>&1", "vsftpd")
	}
	return list
}

// Names are the units that the configuration asks for. The status asks for them often, so they are
// worked out once for each configuration.
func (s *Server) Names() []string {
	cfg := s.Config()
	s.mu.Lock()
	if s.namesOf == cfg && cfg != nil {
		defer s.mu.Unlock()
		return s.unitNames
	}
	s.mu.Unlock()
	names := []string{}
	for _, u := range s.Units() {
		names = append(names, u.Name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.namesOf, s.unitNames = cfg, names
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

// binding is a bind mount, read-only unless write.
func binding(b shares.Bind) mount.Mount {
	flags := uintptr(unix.MS_BIND | unix.MS_NOSUID | unix.MS_NODEV)
	if !b.Write {
		flags |= unix.MS_RDONLY
	}
	return mount.Mount{Source: b.From, Path: b.To, Flags: flags}
}
