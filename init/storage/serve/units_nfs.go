package serve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"imgbuild/init/base/mount"
	"imgbuild/init/contract/fault"
	"imgbuild/init/storage/shares"
	"imgbuild/init/supervise"

	"golang.org/x/sys/unix"
)

// The ports of NFS 3 besides 2049; images/storage.yaml declares them. Without numbers of their own
// these servers take others at each start.
const (
	rpcbindPort = 111
	mountdPort  = 20048
	statdPort   = 32765
	notifyPort  = 32766 // statd sends from it
	lockdPort   = 32803
)

// statdDir is where statd keeps for whom it watches, for as long as the state of the disk is there.
const statdDir = runDir + "/statd"

// pipefs is where the kernel's NFS server talks to its programs: nfsdcld was built with it.
const pipefs = "/var/lib/nfs/rpc_pipefs"

// nfsUnits adds the units of the kernel's NFS server. NFS 3 takes two more, and rpcbind has to be
// there first: without it the server serves no version at all.
func (s *Server) nfsUnits(p shares.Plan, add func(name string, change func(u *supervise.Unit), command ...string)) {
	v3 := p.Settings.NFS.V3
	versions, threads := []string{"-N", "3"}, strconv.Itoa(p.Settings.NFS.Threads)
	needs, listen := []string{mountd}, []string{"-N", "2", "-N", "3"}
	if v3 {
		versions, listen, needs = nil, []string{"-N", "2", "-p", strconv.Itoa(mountdPort)}, []string{mountd, statd}
		add(rpcbind, func(u *supervise.Unit) {
			u.Prepare = s.prepareRPC
			u.Ready = supervise.Ready{Kind: supervise.TCP, Address: fmt.Sprintf("127.0.0.1:%d", rpcbindPort), Timeout: readyLimit}
		}, "rpcbind", "-f")
		add(statd, func(u *supervise.Unit) {
			u.Needs, u.Prepare = []string{rpcbind}, s.prepareStatd
		}, "rpc.statd", "-F", "-p", strconv.Itoa(statdPort), "-o", strconv.Itoa(notifyPort), "-P", statdDir)
	}
	add(nfsdcld, func(u *supervise.Unit) {
		u.Prepare = s.prepareNFS
		u.Ready = supervise.Ready{Probe: s.cldWaits, Timeout: readyLimit}
	}, "nfsdcld", "-F", "-s", stateLink+"/nfsdcld")
	add(mountd, func(u *supervise.Unit) {
		if u.Needs = []string{nfsdcld}; v3 {
			u.Needs = append(u.Needs, rpcbind)
		}
	}, append([]string{"rpc.mountd", "-F"}, listen...)...)
	add(nfsd, func(u *supervise.Unit) {
		u.Needs, u.Prepare = needs, s.prepareThreads
		u.Env = []string{fmt.Sprintf("GRACE=%d", int(p.Settings.NFS.Grace.Seconds()))} // a change of it is a change of the unit
		u.Ready = supervise.Ready{Kind: supervise.TCP, Address: nfsAddress, Timeout: readyLimit, Probe: threadsRun}
	}, append(append([]string{"busybox", "ash", "-c", threadsScript, "nfsd"}, versions...), threads)...)
}

// prepareRPC makes rpcbind's directory.
func (s *Server) prepareRPC(ctx context.Context, say supervise.Say) error {
	if err := s.prepare(nfsd)(ctx, say); err != nil {
		return err
	}
	uid, gid, err := account("_rpc")
	if err != nil {
		return err
	}
	return mount.Do(mount.Dir{Path: "/run/rpcbind", Mode: 0o755, UID: uid, GID: gid})
}

// prepareStatd shows statd its directory on the disk, which it may not reach by itself: it gives up
// root.
func (s *Server) prepareStatd(ctx context.Context, say supervise.Say) error {
	if err := s.prepare(nfsd)(ctx, say); err != nil {
		return err
	}
	uid, gid, err := account(statd)
	if err != nil {
		return err
	}
	kept := filepath.Join(stateLink, statd)
	for {
		if err := unix.Unmount(statdDir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
			break // nothing is mounted there
		}
	}
	ops := []mount.Op{mount.Dir{Path: kept, Mode: 0o700, UID: uid, GID: gid}}
	for _, sub := range []string{"sm", "sm.bak"} {
		ops = append(ops, mount.Dir{Path: filepath.Join(kept, sub), Mode: 0o700, UID: uid, GID: gid})
	}
	return mount.Do(append(ops, mount.Dir{Path: statdDir, Mode: 0o700, UID: uid, GID: gid},
		mount.Mount{Source: kept, Path: statdDir, Flags: unix.MS_BIND | unix.MS_NOSUID | unix.MS_NODEV})...)
}

// account returns the numbers of a user of the system.
func account(name string) (uid, gid int, err error) {
	u, err := user.Lookup(name)
	if err == nil {
		uid, err = strconv.Atoi(u.Uid)
	}
	if err == nil {
		gid, err = strconv.Atoi(u.Gid)
	}
	return uid, gid, fault.Wrap(err, fault.Internal, "", "the user %s", name)
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
		{Source: "rpc_pipefs", Path: pipefs, Type: "rpc_pipefs"},
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

// cldWaits succeeds when nfsdcld waits for the kernel's pipe, which it does once its database is
// open.
func (s *Server) cldWaits(context.Context) error {
	st, _ := s.Super.State(nfsdcld)
	return watches(os.DirFS("/proc"), st.PID)
}

// threadsRun succeeds when the kernel's server runs and records its clients. It accepts connections
// before it does either.
func threadsRun(context.Context) error { return running(os.DirFS("/")) }

func running(root fs.FS) error {
	text, err := fs.ReadFile(root, "proc/fs/nfsd/threads")
	if err == nil && strings.TrimSpace(string(text)) == "0" {
		err = errors.New("the kernel has no NFS threads yet")
	}
	if err == nil {
		_, err = fs.Stat(root, cldPipe[1:])
	}
	return err
}

// watches reports an error unless a process has an inotify watch. proc is /proc.
func watches(proc fs.FS, pid int) error {
	dir := fmt.Sprintf("%d/fdinfo", pid)
	entries, err := fs.ReadDir(proc, dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		text, err := fs.ReadFile(proc, dir+"/"+e.Name())
		if err == nil && strings.Contains(string(text), "\ninotify wd:") {
			return nil
		}
	}
	return errors.New("it does not wait for the kernel yet")
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
	// Of lockd, which serves NFS 3 alone. Its own time of grace, 50 s, would keep clients of NFS 4
	// from new locks as well.
	for _, v := range []struct{ name, value string }{{"nlm_tcpport", strconv.Itoa(lockdPort)}, {"nlm_udpport", strconv.Itoa(lockdPort)}, {"nlm_grace_period", grace}} {
		if err := os.WriteFile("/proc/sys/fs/nfs/"+v.name, []byte(v.value), 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.Say("nfsd: %s stays as it is: %v", v.name, err)
		}
	}
	for _, name := range []string{"nfsv4leasetime", "nfsv4gracetime"} {
		if err := os.WriteFile("/proc/fs/nfsd/"+name, []byte(grace), 0); err != nil && !os.IsPermission(err) {
			s.Say("nfsd: %s stays as it is: %v", name, err)
		}
	}
	return nil
}
