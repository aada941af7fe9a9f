package serve

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"imgbuild/init/contract/fault"
	"imgbuild/init/storage/shares"
	"imgbuild/init/storage/snapshots"

	"golang.org/x/sys/unix"
)

// servers are the units that serve by a protocol.
var servers = map[string]string{"nfs": nfsd, "smb": smbd, "ftp": vsftpd}

// Convert makes the directory of a share a subvolume, and returns a line about it. The servers that
// serve it stop meanwhile, for their other shares too.
func (s *Server) Convert(ctx context.Context, name string) (note string, err error) {
	s.work.Lock()
	defer s.work.Unlock()
	p := s.plan()
	i := slices.IndexFunc(p.Shares, func(sh shares.Share) bool { return sh.Name == name })
	if i < 0 {
		return "", fault.New(fault.Usage, "run `shelf storage`", "there is no share %q", name)
	}
	sh := p.Shares[i]
	mounts, _, _ := inUse(s.Disks.Status())
	dir, ok := mounts.Path(sh)
	if !ok || mounts[sh.Disk].ReadOnly {
		return "", fault.New(fault.Usage, "run `shelf storage`", "the disk of the share %s is not in use, or can only be read", name)
	}
	defer func() {
		for _, v := range sh.Via {
			err = errors.Join(err, s.Super.StartUnit(servers[v]))
		}
	}()
	for _, v := range sh.Via {
		if err := s.Super.StopUnit(ctx, servers[v]); err != nil {
			return "", err
		}
	}
	for _, b := range s.binds { // Update shows the new one
		if b.From == dir {
			_ = unix.Unmount(b.To, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		}
	}
	s.binds = slices.DeleteFunc(s.binds, func(b shares.Bind) bool { return b.From == dir })
	if held := snapshots.Holders("/proc", dir); len(held) > 0 {
		return "", fault.New(fault.Usage, "end them and try again", "files of the share %s are open in %s", name, strings.Join(held, ", "))
	}
	kept, err := snapshots.Convert(ctx, dir, time.Now())
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s is a subvolume now; the directory as it was is %s, which takes no space of its own until files change; delete it when all is well", dir, kept), nil
}
