package serve

import (
	"context"
	"errors"
	"time"

	"imgbuild/init/contract/fault"
	"imgbuild/init/storage/shares"
	"imgbuild/init/storage/snapshots"
	"imgbuild/init/supervise"
)

// snapshots makes, shows and drops the snapshots of the shares that have rules for them.
func (s *Server) snapshots(ctx context.Context, p shares.Plan, m shares.Mounts) error {
	var errs []error
	for _, sh := range p.Shares {
		dir, ok := m.Path(sh)
		rules := sh.SnapshotRules()
		if !ok || len(rules) == 0 {
			continue
		}
		disk := m[sh.Disk]
		errs = append(errs, snapshots.Share{Name: sh.Name, Disk: disk.At, Dir: dir, Rules: rules, ReadOnly: disk.ReadOnly}.Update(ctx, time.Now(), func() error { return s.flush(ctx) }))
	}
	return errors.Join(errs...)
}

// flush has the NFS server let go of the mounts that it knows, so that one of them can go.
func (s *Server) flush(ctx context.Context) error {
	if st, ok := s.Super.State(nfsd); !ok || !st.Ready {
		return nil
	}
	_, err := supervise.Run(ctx, supervise.Cmd("exportfs", "-f"))
	return fault.Wrap(err, fault.Internal, "", "the NFS server")
}
